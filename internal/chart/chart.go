// Package chart draws the figures of this program, lines with bands of error
// over one axis, as SVG or PNG.
//
// Start with a [Chart] and its WriteFile. gonum/plot draws; this package has the
// style of all figures, and refuses what cannot be drawn.
package chart

import (
	"bytes"
	"errors"
	"fmt"
	"image/color"
	"io"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"

	"efcn/internal/atomicfile"
)

// Chart is one figure. Its lines take the colours in order, followed by its levels;
// where the colours repeat, lines are dashed.
type Chart struct {
	Title string
	X, Y  string // what the axes show, with the unit
	Lines []Line
	// Levels are values that do not depend on x, drawn as horizontal lines.
	Levels []Level
	// Ticks name places along x. Default (nil): round numbers.
	Ticks []Tick
}

// Line is a curve through points; where Y is NaN, it is interrupted.
type Line struct {
	Name string
	X, Y []float64
	// Spread is the half height of a band around the curve, such as a standard
	// deviation. Default (nil) none.
	Spread []float64
	Dashed bool
}

// Level is a value with the half height of its band; 0 for none.
type Level struct {
	Name      string
	Y, Spread float64
}

// Tick names a place along x.
type Tick struct {
	X    float64
	Name string
}

// colors are those of Okabe and Ito, "Color Universal Design" (2008), which people
// with any kind of colour vision tell apart, without yellow, which is too light for
// a line.
var colors = []color.NRGBA{
	{0, 114, 178, 255},
	{213, 94, 0, 255},
	{0, 158, 115, 255},
	{204, 121, 167, 255},
	{230, 159, 0, 255},
	{86, 180, 233, 255},
	{0, 0, 0, 255},
}

const (
	width  = 16 * vg.Centimeter
	height = 10 * vg.Centimeter
	margin = 2 * vg.Millimeter
	dpi    = 192
)

// WriteFile draws the chart into a file, in the format that its name ends with:
// .svg or .png. The file appears whole or not at all.
func (c *Chart) WriteFile(path string) error {
	format := strings.TrimPrefix(strings.ToLower(filepath.Ext(path)), ".")
	if err := CheckFormat(path); err != nil {
		return err
	}
	return atomicfile.Write(path, func(w io.Writer) error { return c.Write(w, format) })
}

// CheckFormat returns an error unless WriteFile can draw a file of that name.
func CheckFormat(path string) error {
	switch strings.ToLower(filepath.Ext(path)) {
	case ".svg", ".png":
		return nil
	}
	return fmt.Errorf("%s: the name of a picture ends with .svg or .png", path)
}

// Write draws the chart in a format, "svg" or "png".
func (c *Chart) Write(w io.Writer, format string) error {
	p, err := c.plot()
	if err != nil {
		return fmt.Errorf("chart %q: %w", c.Title, err)
	}
	var canvas vg.CanvasWriterTo
	switch format {
	case "svg":
		canvas = vgsvg.New(width, height)
	case "png":
		canvas = vgimg.PngCanvas{Canvas: vgimg.NewWith(vgimg.UseWH(width, height), vgimg.UseDPI(dpi))}
	default:
		return fmt.Errorf("chart %q: format %q: want svg or png", c.Title, format)
	}
	c.draw(p, draw.Crop(draw.New(canvas), margin, -2*margin, margin, -margin))
	var b bytes.Buffer
	if _, err := canvas.WriteTo(&b); err != nil {
		return err
	}
	// Where the font of an SVG is not installed, one of the same widths is.
	_, err = w.Write(bytes.ReplaceAll(
		b.Bytes(),
		[]byte("font-family:Liberation Sans;"),
		[]byte("font-family:'Liberation Sans',Arial,Helvetica,sans-serif;"),
	))
	return err
}

// inside is up to how many names the legend is inside the picture; with more it is
// beside it, where it hides no line.
const inside = 4

// draw draws the plot and its legend.
func (c *Chart) draw(p *plot.Plot, area draw.Canvas) {
	if len(c.Lines)+len(c.Levels) <= inside {
		p.Draw(area)
		return
	}
	names := p.Legend
	p.Legend = plot.NewLegend()
	names.XOffs = 0
	wide := names.Rectangle(area).Size().X
	p.Draw(draw.Crop(area, 0, -wide-4*margin, 0, 0))
	names.Draw(area)
}

func (c *Chart) plot() (*plot.Plot, error) {
	p := plot.New()
	p.BackgroundColor = color.White
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = c.Title, c.X, c.Y
	for _, style := range []*draw.TextStyle{
		&p.Title.TextStyle, &p.X.Label.TextStyle, &p.Y.Label.TextStyle,
		&p.X.Tick.Label, &p.Y.Tick.Label, &p.Legend.TextStyle,
	} {
		style.Font.Variant = "Sans"
	}
	p.Title.TextStyle.Font.Size = font.Length(12)
	p.Title.Padding = vg.Points(6)
	p.Legend.Top, p.Legend.Padding = true, vg.Points(2)
	p.Legend.TextStyle.Font.Size = font.Length(9)
	grid := plotter.NewGrid()
	grid.Horizontal.Color, grid.Vertical.Color = color.Gray{220}, color.Gray{240}
	p.Add(grid)
	if c.Ticks != nil {
		var ticks []plot.Tick
		for _, t := range c.Ticks {
			ticks = append(ticks, plot.Tick{Value: t.X, Label: t.Name})
		}
		p.X.Tick.Marker = plot.ConstantTicks(ticks)
	}
	drawn := false
	for i, l := range c.Lines {
		l.Dashed = l.Dashed || i >= len(colors)
		some, err := l.add(p, colors[i%len(colors)])
		if err != nil {
			return nil, fmt.Errorf("line %q: %w", l.Name, err)
		}
		drawn = drawn || some
	}
	if err := c.addLevels(p); err != nil {
		return nil, err
	}
	if !drawn && len(c.Levels) == 0 {
		return nil, errors.New("nothing to draw")
	}
	// A legend inside has the top of the picture to itself.
	if n := len(c.Lines) + len(c.Levels); n <= inside {
		p.Y.Max += 0.08 * (p.Y.Max - p.Y.Min) * float64(n)
	}
	return p, nil
}

// add draws a line and reports whether it had a point.
func (l Line) add(p *plot.Plot, c color.NRGBA) (bool, error) {
	if len(l.X) != len(l.Y) || l.Spread != nil && len(l.Spread) != len(l.Y) {
		return false, fmt.Errorf("%d places, %d values and %d spreads", len(l.X), len(l.Y), len(l.Spread))
	}
	named := false
	for from := 0; from < len(l.Y); {
		if !finite(l.Y[from]) {
			from++
			continue
		}
		to := from
		for to < len(l.Y) && finite(l.Y[to]) {
			to++
		}
		if err := l.addPiece(p, c, from, to, !named); err != nil {
			return false, err
		}
		named, from = true, to
	}
	return named, nil
}

// addPiece draws the points from to to, which are all finite.
func (l Line) addPiece(p *plot.Plot, c color.NRGBA, from, to int, name bool) error {
	points := make(plotter.XYs, to-from)
	for i := range points {
		points[i] = plotter.XY{X: l.X[from+i], Y: l.Y[from+i]}
	}
	if l.Spread != nil {
		upper, lower := slices.Clone(points), slices.Clone(points)
		for i := range points {
			if s := l.Spread[from+i]; finite(s) {
				upper[i].Y += s
				lower[i].Y -= s
			}
		}
		slices.Reverse(lower)
		if err := addBand(p, append(upper, lower...), c); err != nil {
			return err
		}
	}
	line, dots, err := plotter.NewLinePoints(points)
	if err != nil {
		return err
	}
	line.Color, line.Width = c, vg.Points(1.5)
	if l.Dashed {
		line.Dashes = []vg.Length{vg.Points(5), vg.Points(3)}
	}
	dots.Color, dots.Shape, dots.Radius = c, draw.CircleGlyph{}, vg.Points(2)
	p.Add(line)
	entry := []plot.Thumbnailer{line}
	if len(points) <= 40 { // more would hide the curve
		p.Add(dots)
		entry = append(entry, dots)
	}
	if name && l.Name != "" {
		p.Legend.Add(l.Name, entry...)
	}
	return nil
}

func addBand(p *plot.Plot, outline plotter.XYs, c color.NRGBA) error {
	band, err := plotter.NewPolygon(outline)
	if err != nil {
		return err
	}
	c.A = 50
	band.Color, band.Width = c, 0
	p.Add(band)
	return nil
}

// addLevels draws the horizontal lines from one end of the other lines to the
// other.
func (c *Chart) addLevels(p *plot.Plot) error {
	left, right := p.X.Min, p.X.Max
	if !finite(left) || !finite(right) {
		left, right = 0, 1
	}
	for i, l := range c.Levels {
		if !finite(l.Y) {
			continue
		}
		k := colors[(len(c.Lines)+i)%len(colors)]
		if l.Spread > 0 {
			top, bottom := l.Y+l.Spread, l.Y-l.Spread
			band := plotter.XYs{{X: left, Y: top}, {X: right, Y: top}, {X: right, Y: bottom}, {X: left, Y: bottom}}
			if err := addBand(p, band, k); err != nil {
				return err
			}
		}
		line, err := plotter.NewLine(plotter.XYs{{X: left, Y: l.Y}, {X: right, Y: l.Y}})
		if err != nil {
			return err
		}
		line.Color, line.Width, line.Dashes = k, vg.Points(1.5), []vg.Length{vg.Points(6), vg.Points(3)}
		p.Add(line)
		p.Legend.Add(l.Name, line)
	}
	return nil
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }
