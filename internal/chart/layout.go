package chart

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Lengths of a figure, in pixels.
const (
	figureWidth = 420.0
	plotTop     = 48.0
	plotHeight  = 205.0
	titleSize   = 14.0
	textSize    = 12.0
	rowHeight   = 16.0 // of names, at ends of lines and below
	nameRoom    = 124.0
	levelRoom   = 230.0 // of names where there are levels alone, which need no width
	mostDots    = 12    // a line of more points has no dots, which would hide it
	mostNotes   = 24    // a line of more points says what some of them are
	mostCut     = 8     // more points below the floor have no marks
)

// series is a line or a level as it is drawn.
type series struct {
	name   string
	ink    ink
	dashed bool
	width  float64

	reference bool

	pieces [][]point // of the curve, in the units of the axes
	bands  [][]point // upper ends, then lower ends backwards
	points []mark
	last   point // where the name stands beside
}

// mark is a point of a series with what it says.
type mark struct {
	point
	note  string
	value string
}

// figure is a chart on the way to its scene.
type figure struct {
	chart  *Chart
	series []series
	x, y   axis
	scene  scene
	bottom float64      // of the plot
	edge   [][2]float64 // where values of points below the floor are written, from and until
}

// layout places everything that the chart shows.
func (c *Chart) layout() (*scene, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	title := wrap(upper(c.Title), titleSize, figureWidth-12)
	top := plotTop + float64(len(title)-1)*(titleSize+3)
	f := &figure{chart: c, bottom: top + plotHeight}
	f.scene = scene{width: figureWidth, title: c.Title}
	f.x.low, f.x.high = c.rangeX()
	f.y.low, f.y.high = c.rangeY()
	f.series = c.series(f.x, f.y)
	yTicks := ticks(f.y.low, f.y.high, 5, false)
	left := 0.0
	for _, t := range yTicks {
		left = max(left, widthOf(t.Name, textSize))
	}
	named, beside := f.named()
	right := 0.0
	if beside {
		for _, s := range named {
			right = max(right, 16+widthOf(s.name, textSize))
		}
	}
	f.x.from, f.x.to = left+14, figureWidth-max(right, 10)-4
	f.y.from, f.y.to = f.bottom, top
	for i, part := range title {
		f.scene.write(6, 17+float64(i)*(titleSize+3), titleSize, start, words, part)
	}
	f.scene.write(6, top-12, textSize, start, notes, c.Y)
	f.drawAxes(yTicks)
	f.drawSeries()
	height := f.bottom + 38
	switch {
	case beside:
		f.namesBeside(named)
	case len(named) > 0:
		height = f.namesBelow(named, height)
	}
	f.scene.height = height + 4
	return &f.scene, nil
}

// upper writes the first letter of a title large.
func upper(title string) string {
	first, size := utf8.DecodeRuneInString(title)
	return string(unicode.ToUpper(first)) + title[size:]
}

// wrap breaks a text into lines of no more than a width, if its words are not wider.
func wrap(text string, size, width float64) []string {
	lines := []string{""}
	for _, word := range strings.Fields(text) {
		last := &lines[len(lines)-1]
		switch joined := *last + " " + word; {
		case *last == "":
			*last = word
		case widthOf(joined, size) <= width:
			*last = joined
		default:
			lines = append(lines, word)
		}
	}
	return lines
}

func (c *Chart) rangeX() (low, high float64) {
	low, high = math.Inf(1), math.Inf(-1)
	for _, l := range c.Lines {
		for _, x := range l.X {
			low, high = min(low, x), max(high, x)
		}
	}
	for _, t := range c.Ticks {
		low, high = min(low, t.X), max(high, t.X)
	}
	switch {
	case low > high:
		return 0, 1
	case low == high:
		return low - 0.5, high + 0.5
	}
	room := 0.03 * (high - low)
	return low - room, high + room
}

func (c *Chart) rangeY() (float64, float64) {
	low, high := math.Inf(1), math.Inf(-1)
	banded := c.Banded()
	include := func(v, spread float64) {
		if !finite(v) {
			return
		}
		if !banded || !finite(spread) {
			spread = 0
		}
		low, high = min(low, v-spread), max(high, v+spread)
	}
	for _, l := range c.Lines {
		for i, v := range l.Y {
			spread := 0.0
			if l.Spread != nil {
				spread = l.Spread[i]
			}
			include(v, spread)
		}
	}
	for _, l := range c.Levels {
		include(l.Y, l.Spread)
	}
	if c.Floor != nil && *c.Floor > low && *c.Floor < high {
		return *c.Floor, high + 0.07*(high-*c.Floor)
	}
	return widen(low, high)
}

// series are the lines and levels of the chart between the ends of its axes.
func (c *Chart) series(x, y axis) []series {
	var all []series
	banded := c.Banded()
	for i, l := range c.Lines {
		s := series{name: l.Name, ink: colors[i%len(colors)], dashed: l.Dashed || i >= len(colors), width: 1.8}
		switch {
		case l.Reference:
			s.ink, s.width, s.dashed, s.reference = notes, 1.3, l.Dashed, true
		case c.Sequence != "":
			s.ink, s.dashed = sequential(l.Shade), l.Dashed
		}
		var spread []float64
		if banded {
			spread = l.Spread
		}
		s.trace(l, spread, y.low)
		s.points = c.marks(l)
		all = append(all, s)
	}
	for i, l := range c.Levels {
		if !finite(l.Y) || l.Y < y.low {
			continue
		}
		n := len(c.Lines) + i
		s := series{name: l.Name, ink: colors[n%len(colors)], dashed: true, width: 1.5, last: point{x.high, l.Y}}
		s.pieces = [][]point{{{x.low, l.Y}, {x.high, l.Y}}}
		if l.Spread > 0 && banded {
			top, bottom := l.Y+l.Spread, max(l.Y-l.Spread, y.low)
			s.bands = [][]point{{{x.low, top}, {x.high, top}, {x.high, bottom}, {x.low, bottom}}}
		}
		note := l.Name + ": " + withSpread(l.Y, l.Spread, decimals(l.Y))
		for _, at := range []float64{0.1, 0.5, 0.9} {
			s.points = append(s.points, mark{point{x.low + at*(x.high-x.low), l.Y}, note, ""})
		}
		all = append(all, s)
	}
	return all
}

// trace puts the curve of a line and its band, as far as they are not below the floor,
// into the series.
func (s *series) trace(l Line, spread []float64, floor float64) {
	for from := 0; from < len(l.Y); {
		if !finite(l.Y[from]) {
			from++
			continue
		}
		var curve, upper, lower []point
		to := from
		for ; to < len(l.Y) && finite(l.Y[to]); to++ {
			p := point{l.X[to], l.Y[to]}
			curve = append(curve, p)
			half := 0.0
			if spread != nil && finite(spread[to]) {
				half = spread[to]
			}
			upper, lower = append(upper, point{p.x, p.y + half}), append(lower, point{p.x, p.y - half})
			s.last = point{p.x, max(p.y, floor)}
		}
		s.pieces = append(s.pieces, above(curve, floor)...)
		if spread != nil && len(curve) > 1 {
			slices.Reverse(lower)
			if band := clip(append(upper, lower...), floor); len(band) > 2 {
				s.bands = append(s.bands, band)
			}
		}
		from = to
	}
}

// above returns the parts of a curve that are not below the floor.
func above(curve []point, floor float64) [][]point {
	var pieces [][]point
	var piece []point
	for i, p := range curve {
		if i > 0 && (p.y < floor) != (curve[i-1].y < floor) {
			piece = append(piece, crossing(curve[i-1], p, floor))
		}
		if p.y >= floor {
			piece = append(piece, p)
		} else if piece != nil {
			pieces, piece = append(pieces, piece), nil
		}
	}
	if piece != nil {
		pieces = append(pieces, piece)
	}
	return pieces
}

// crossing is where the stroke from p to q meets the floor.
func crossing(p, q point, floor float64) point {
	return point{p.x + (floor-p.y)/(q.y-p.y)*(q.x-p.x), floor}
}

// clip returns the part of an area that is not below the floor (Sutherland and Hodgman,
// "Reentrant polygon clipping", 1974, with one edge).
func clip(area []point, floor float64) []point {
	var kept []point
	before := area[len(area)-1]
	for _, p := range area {
		if (p.y < floor) != (before.y < floor) {
			kept = append(kept, crossing(before, p, floor))
		}
		if p.y >= floor {
			kept = append(kept, p)
		}
		before = p
	}
	return kept
}

// marks are the points of a line that say what they are: all, or some of many.
func (c *Chart) marks(l Line) []mark {
	axis, _, _ := strings.Cut(c.X, " (")
	axis, _, _ = strings.Cut(axis, ",")
	every := (len(l.X) + mostNotes - 1) / mostNotes
	var all []mark
	for i, x := range l.X {
		if !finite(l.Y[i]) || i%every != 0 && i != len(l.X)-1 {
			continue
		}
		spread := 0.0
		if l.Spread != nil {
			spread = l.Spread[i]
		}
		place := brief(x)
		if at := slices.IndexFunc(c.Ticks, func(t Tick) bool { return t.X == x }); at >= 0 {
			place = c.Ticks[at].Name
		}
		value := withSpread(l.Y[i], spread, l.decimals(l.Y[i]))
		note := axis + " " + place + ": " + value
		if l.Name != "" {
			note = l.Name + ", " + note
			if c.Sequence != "" && !l.Reference {
				note = c.Sequence + " " + note
			}
		}
		all = append(all, mark{point{x, l.Y[i]}, note, withSpread(l.Y[i], 0, l.decimals(l.Y[i]))})
	}
	return all
}

// withSpread writes a value and its spread.
func withSpread(v, spread float64, decimals int) string {
	switch {
	case !(spread > 0) && v == 0:
		return "0"
	case !(spread > 0):
		return Number(v, decimals)
	}
	return Number(v, decimals) + " ± " + Number(spread, decimals)
}

// decimals is how many a value of the line is written with: those of the largest, which
// has four digits, and more where that leaves fewer than three. Whole numbers without a
// spread, such as counts, have none.
func (l *Line) decimals(v float64) int {
	largest, whole := 0.0, !slices.ContainsFunc(l.Spread, func(s float64) bool { return s > 0 })
	for _, y := range l.Y {
		if finite(y) {
			largest, whole = max(largest, math.Abs(y)), whole && y == math.Trunc(y)
		}
	}
	if whole {
		return 0
	}
	return max(decimals(largest), decimals(v)-1)
}

func brief(v float64) string {
	if v == math.Trunc(v) && math.Abs(v) < 1e7 {
		return Number(v, 0)
	}
	return Number(v, decimals(v))
}

// decimals is how many of them a value of four digits has.
func decimals(v float64) int {
	if v == 0 || !finite(v) {
		return 0
	}
	return min(max(0, 3-int(math.Floor(math.Log10(math.Abs(v))))), 9)
}

// drawAxes draws the grid, what stands along it and the name of the x axis.
func (f *figure) drawAxes(yTicks []Tick) {
	for _, t := range yTicks {
		f.scene.rule(f.x.from, f.y.at(t.X), f.x.to, f.y.at(t.X), rules, 1)
	}
	for _, t := range yTicks {
		f.scene.write(f.x.from-6, f.y.at(t.X)+4, textSize, end, notes, t.Name)
	}
	xTicks := f.chart.Ticks
	if xTicks == nil {
		xTicks = ticks(f.x.low, f.x.high, 6, f.chart.whole())
	}
	f.scene.rule(f.x.from, f.bottom, f.x.to, f.bottom, notes, 1)
	for _, t := range xTicks {
		f.scene.rule(f.x.at(t.X), f.bottom, f.x.at(t.X), f.bottom+4, notes, 1)
	}
	free := math.Inf(-1)
	for _, t := range xTicks {
		x, half := f.x.at(t.X), widthOf(t.Name, textSize)/2
		if x-half >= free {
			f.scene.write(x, f.bottom+17, textSize, middle, notes, t.Name)
			free = x + half + 6
		}
	}
	f.scene.write((f.x.from+f.x.to)/2, f.bottom+33, textSize, middle, notes, f.chart.X)
}

// whole reports whether all points are at whole numbers, such as epochs.
func (c *Chart) whole() bool {
	for _, l := range c.Lines {
		for _, x := range l.X {
			if x != math.Trunc(x) {
				return false
			}
		}
	}
	return true
}

// drawSeries draws the bands, over them the curves, and over those their points.
func (f *figure) drawSeries() {
	place := func(points []point) []point {
		placed := make([]point, len(points))
		for i, p := range points {
			placed[i] = point{f.x.at(p.x), f.y.at(p.y)}
		}
		return placed
	}
	for _, s := range f.series {
		for _, b := range s.bands {
			f.scene.add(shape{kind: area, points: place(b), ink: s.ink, opacity: 0.2})
		}
	}
	for _, s := range f.series {
		for _, p := range s.pieces {
			if len(p) > 1 {
				f.scene.add(shape{kind: line, points: place(p), ink: s.ink, size: s.width, dashed: s.dashed})
			}
		}
	}
	cut := 0
	for _, s := range f.series {
		for _, m := range s.points {
			if m.y < f.y.low {
				cut++
			}
		}
	}
	for i, s := range f.series {
		if i >= len(f.chart.Lines) || len(f.chart.Lines[i].Y) > mostDots {
			continue
		}
		for _, m := range s.points {
			if m.y >= f.y.low || cut <= mostCut {
				f.drawMark(m, s.ink)
			}
		}
	}
	for _, s := range f.series {
		for _, m := range s.points {
			at := point{f.x.at(m.x), f.y.at(max(m.y, f.y.low))}
			f.scene.add(shape{kind: dot, points: []point{at}, size: 8, note: m.note})
		}
	}
}

// drawMark draws a point, or where it is below the floor a mark at the edge with its value,
// if that has room beside those that are written.
func (f *figure) drawMark(m mark, c ink) {
	at := point{f.x.at(m.x), f.y.at(m.y)}
	if m.y >= f.y.low {
		f.scene.add(shape{kind: dot, points: []point{at}, ink: c, size: 2.4, opacity: 1})
		return
	}
	f.scene.add(shape{kind: area, ink: c, opacity: 1, points: []point{
		{at.x - 4, f.bottom - 8}, {at.x + 4, f.bottom - 8}, {at.x, f.bottom - 1},
	}})
	wide := widthOf(m.value, textSize-1)
	from := at.x + 7
	if from+wide > f.x.to { // names may stand there
		from = at.x - 7 - wide
	}
	until := from + wide
	for _, e := range f.edge {
		if from < e[1]+3 && e[0] < until+3 {
			return
		}
	}
	f.edge = append(f.edge, [2]float64{from, until})
	f.scene.add(shape{kind: area, ink: paper, opacity: 1, points: []point{ // over a line, which would cross it
		{from - 1, f.bottom - 13}, {until + 1, f.bottom - 13}, {until + 1, f.bottom - 1}, {from - 1, f.bottom - 1},
	}})
	f.scene.write(from, f.bottom-3, textSize-1, start, notes, m.value)
}

// named returns the series that have a name, and whether the names stand at the ends of
// the lines: where they are short, and few.
func (f *figure) named() (named []series, beside bool) {
	beside = f.chart.Sequence == ""
	room := nameRoom
	if len(f.chart.Lines) == 0 {
		room = levelRoom
	}
	var references []series // after the others
	for _, s := range f.series {
		if s.name == "" || s.points == nil {
			continue
		}
		if s.reference {
			references = append(references, s)
		} else {
			named = append(named, s)
		}
		beside = beside && widthOf(s.name, textSize) <= room
	}
	named = append(named, references...)
	return named, beside && len(named) > 0 && float64(len(named))*rowHeight <= plotHeight
}

// namesBeside writes each name at the end of its line, with a stroke to it where another
// name was in the way.
func (f *figure) namesBeside(named []series) {
	slices.SortStableFunc(named, func(a, b series) int { return -cmp.Compare(a.last.y, b.last.y) })
	rows := make([]float64, len(named))
	for i, s := range named {
		rows[i] = f.y.at(s.last.y)
		if i > 0 {
			rows[i] = max(rows[i], rows[i-1]+rowHeight)
		}
	}
	limit := f.bottom
	for i := len(rows) - 1; i >= 0; i-- {
		rows[i] = min(rows[i], limit)
		limit = rows[i] - rowHeight
	}
	for i, s := range named {
		from, to := f.x.at(s.last.x)+3, f.x.to+10
		f.scene.rule(from, f.y.at(s.last.y), to, rows[i], s.ink, 0.8)
		f.scene.write(to+3, rows[i]+4, textSize, start, words, s.name)
	}
}

// namesBelow writes the names under the x axis, in rows, each behind a piece of its line,
// and returns where they end.
func (f *figure) namesBelow(named []series, top float64) float64 {
	x, y := 8.0, top+rowHeight
	if f.chart.Sequence != "" {
		f.scene.write(x, y, textSize, start, words, f.chart.Sequence)
		x += widthOf(f.chart.Sequence, textSize) + 10
	}
	for _, s := range named {
		wide := 22 + widthOf(s.name, textSize)
		if x+wide > figureWidth-8 && x > 8 {
			x, y = 8, y+rowHeight
		}
		f.scene.add(shape{
			kind: line, points: []point{{x, y - 4}, {x + 17, y - 4}}, ink: s.ink, size: max(2, s.width), dashed: s.dashed,
		})
		f.scene.write(x+22, y, textSize, start, words, s.name)
		x += wide + 12
	}
	return y + 4
}
