package kernel

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// CSR says which entries of a matrix, Rows×Cols, are stored: in compressed rows,
// the columns of row r are Columns[Starts[r]:Starts[r+1]], ascending. The values
// are a list of their own in the same order, so that one pattern serves every
// step of training.
type CSR struct {
	Rows, Cols int
	Starts     []int // Rows+1, from 0 to the number of entries
	Columns    []int32
}

// Validate reports what is wrong with the pattern.
func (c CSR) Validate() error {
	if c.Rows < 0 || c.Cols < 0 || c.Rows > math.MaxInt32 || c.Cols > math.MaxInt32 {
		return fmt.Errorf("%d×%d: want sizes from 0 to %d", c.Rows, c.Cols, math.MaxInt32)
	}
	if len(c.Starts) != c.Rows+1 || c.Starts[0] != 0 || c.Starts[c.Rows] != len(c.Columns) {
		return fmt.Errorf("starts: want %d from 0 to %d", c.Rows+1, len(c.Columns))
	}
	for r := range c.Rows {
		if c.Starts[r] > c.Starts[r+1] {
			return fmt.Errorf("starts: row %d ends before it begins", r)
		}
	}
	for r := range c.Rows {
		last := int32(-1)
		for _, q := range c.Columns[c.Starts[r]:c.Starts[r+1]] {
			if q <= last || int(q) >= c.Cols {
				return fmt.Errorf("row %d: column %d after %d; want them ascending and below %d", r, q, last, c.Cols)
			}
			last = q
		}
	}
	return nil
}

// CSRPlan is a pattern made ready for products: rows that have their entries in
// the same columns, such as the output channels at one position of a convolution,
// are worked on together. It may be used by several goroutines at once.
type CSRPlan struct {
	rows, cols int
	starts     []int   // of rows in the values
	columns    []int32 // of tiles; once for rows that have the same
	tiles      []csrTile
	// bounds cut the columns into parts of about as many entries; ends says where
	// the entries of each tile cross them.
	bounds []int32
	ends   []int32 // tiles × (parts+1)
}

// csrTile is a row, or tileRows of them that have the same columns.
type csrTile struct {
	at, n int // the columns
	count int // rows: 1 or tileRows
	rows  [tileRows]int32
}

const tileRows = 4

// NewCSRPlan makes a pattern ready. It keeps c.Starts.
func NewCSRPlan(c CSR) (*CSRPlan, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	p := &CSRPlan{rows: c.Rows, cols: c.Cols, starts: c.Starts}
	for _, b := range c.bundles() {
		columns := c.row(b[0])
		at := len(p.columns)
		p.columns = append(p.columns, columns...)
		for len(b) > 0 {
			t := csrTile{at: at, n: len(columns), count: 1}
			if len(b) >= tileRows {
				t.count = tileRows
			}
			copy(t.rows[:], b[:t.count])
			b = b[t.count:]
			p.tiles = append(p.tiles, t)
		}
	}
	p.columns = slices.Clip(p.columns)
	p.part(c, 2*Threads())
	return p, nil
}

// Pattern returns the pattern that the plan was made of, with columns of its own.
func (p *CSRPlan) Pattern() CSR {
	c := CSR{Rows: p.rows, Cols: p.cols, Starts: p.starts, Columns: make([]int32, p.starts[p.rows])}
	for _, t := range p.tiles {
		for _, r := range t.rows[:t.count] {
			copy(c.row(r), p.columns[t.at:t.at+t.n])
		}
	}
	return c
}

func (c CSR) row(r int32) []int32 { return c.Columns[c.Starts[r]:c.Starts[r+1]] }

// bundles lists the rows that have the same columns, in the order of the first
// of each.
func (c CSR) bundles() [][]int32 {
	var all [][]int32
	found := make(map[uint64]int32) // the last bundle of each hash of columns
	for r := range int32(c.Rows) {
		columns := c.row(r)
		h := uint64(14695981039346656037) // FNV-1a over whole columns
		for _, q := range columns {
			h = (h ^ uint64(q)) * 1099511628211
		}
		if b, ok := found[h]; ok && slices.Equal(c.row(all[b][0]), columns) {
			all[b] = append(all[b], r)
			continue
		}
		found[h] = int32(len(all))
		all = append(all, []int32{r})
	}
	return all
}

// part cuts the columns into at most so many parts.
func (p *CSRPlan) part(c CSR, parts int) {
	counts := make([]int, c.Cols)
	for _, q := range c.Columns {
		counts[q]++
	}
	p.bounds = []int32{0}
	seen, cut := 0, 1
	for q, n := range counts {
		if seen += n; seen*parts >= cut*len(c.Columns) && cut < parts && q+1 < c.Cols {
			p.bounds = append(p.bounds, int32(q+1))
			cut = seen*parts/max(1, len(c.Columns)) + 1
		}
	}
	p.bounds = append(p.bounds, int32(c.Cols))
	p.ends = make([]int32, 0, len(p.tiles)*len(p.bounds))
	for _, t := range p.tiles {
		columns, at := p.columns[t.at:t.at+t.n], 0
		for _, bound := range p.bounds {
			for at < len(columns) && columns[at] < bound {
				at++
			}
			p.ends = append(p.ends, int32(at))
		}
	}
}

// CSRLayer computes the products of a sparse matrix A with a batch of n vectors:
// y = x·Aᵀ + bias, the gradient at x, which is dy·A, and that at the stored entries
// of A. Arrays are x: N×Cols, y: N×Rows, and the values of A in the order of the
// pattern. It keeps its buffers: after the first calls, none allocates arrays. It
// must not be used by two goroutines at once.
//
// Inside, the samples of a column or row lie in lines of 64 bytes, which a
// processor moves at once, so that every entry is a product of a number and a
// line, whatever the pattern is. The order of every sum follows from the pattern
// alone: results do not depend on the number of threads.
type CSRLayer[T Float] struct {
	*CSRPlan
	n     int
	code  *csrCode[T] // nil: plain code
	lines int         // that a batch takes
	step  int         // lines from a column or row to the next, odd: see local_lines.go
	zero  T

	// Made when they are first asked for.
	x  []T // Cols×step lines
	y  []T // Rows×step
	dx []T // as x
}

// csrCall holds the arguments of an instruction set's code for one tile.
type csrCall[T Float] struct {
	n           int    // entries of a row
	columns     *int32 // of them
	step        int    // bytes from a column of x to the next
	x           *T     // column 0
	lines       int
	w           [tileRows]*T
	y           [tileRows]*T
	bias        [tileRows]*T
	ahead       int // bytes from these w to those of the rows below, for prefetching
	alpha, beta T

	// Room for entries that are no multiple of dotCols. The code does not read it.
	rest [dotCols]int32
	edge [tileRows * dotCols]T
}

// csrCall32 and csrCall64 give assembly the offsets of the fields: the compiler
// writes those of structs that are not generic to go_asm.h.
type (
	csrCall32 csrCall[float32] //nolint:unused // by assembly alone
	csrCall64 csrCall[float64] //nolint:unused // by assembly alone
)

// csrCode is an instruction set's code for one tile: a row, or tileRows of them.
type csrCode[T Float] struct {
	// forward computes y = w·x + bias.
	forwardRow, forwardRows func(*csrCall[T])
	// input adds wᵀ·y to x.
	inputRow, inputRows func(*csrCall[T])
	// dots computes w = alpha·(y·xᵀ) + beta·w; n is a multiple of dotCols. There
	// may be none for several rows.
	dotsRow, dotsRows func(*csrCall[T])
}

// NewCSRLayer prepares the products for batches of n.
func NewCSRLayer[T Float](p *CSRPlan, n int) (*CSRLayer[T], error) {
	return newCSRLayer(p, n, csrCodeHere[T]())
}

func newCSRLayer[T Float](p *CSRPlan, n int, code *csrCode[T]) (*CSRLayer[T], error) {
	if n < 0 {
		return nil, errors.New("a negative batch")
	}
	l := &CSRLayer[T]{CSRPlan: p, n: n, code: code, lines: ceilDiv(n, lanes[T]())}
	l.step = l.lines | 1
	return l, nil
}

func (l *CSRLayer[T]) check(what string, v []T, want int) {
	if len(v) < want {
		panic(fmt.Sprintf("kernel: sparse matrix: %s has %d elements; want %d", what, len(v), want))
	}
}

func (l *CSRLayer[T]) entries() int { return l.starts[l.rows] }

// Forward computes y from x, the values w and, unless it is nil, the bias, a
// value for each row. It keeps x for BackwardWeights.
func (l *CSRLayer[T]) Forward(x, w, bias, y []T) {
	l.check("w", w, l.entries())
	if bias != nil {
		l.check("bias", bias, l.rows)
	}
	l.check("y", y, l.n*l.rows)
	l.Load(x)
	if l.n == 0 {
		return
	}
	own := l.room(&l.y, l.rows)
	l.each(l.lines, func(call *csrCall[T], i, first, lines int) {
		t := &l.tiles[i]
		if t.n == 0 {
			l.fill(t, bias, own, first, lines)
			return
		}
		if l.code == nil {
			l.forwardPlain(t, w, bias, own, first, lines)
			return
		}
		l.set(call, t, 0, t.n, l.x, w, own, first, lines)
		for k, r := range t.rows[:t.count] {
			call.bias[k] = &l.zero
			if bias != nil {
				call.bias[k] = &bias[r]
			}
		}
		if t.count > 1 {
			l.code.forwardRows(call)
		} else {
			l.code.forwardRow(call)
		}
	})
	l.store(own, l.rows, y)
}

// Load takes x for BackwardWeights, as Forward does.
func (l *CSRLayer[T]) Load(x []T) {
	l.check("x", x, l.n*l.cols)
	l.load(x, l.cols, l.room(&l.x, l.cols))
}

// LoadGradient takes dy, the gradient at the output, for the two functions
// below. It overwrites what Forward left in the layer, except x.
func (l *CSRLayer[T]) LoadGradient(dy []T) {
	l.check("dy", dy, l.n*l.rows)
	l.load(dy, l.rows, l.room(&l.y, l.rows))
}

// BackwardWeights computes dw = alpha·(gradient at w) + beta·dw, after Forward
// and LoadGradient.
func (l *CSRLayer[T]) BackwardWeights(alpha, beta T, dw []T) {
	l.check("dw", dw, l.entries())
	if l.n == 0 {
		scaleRows(1, l.entries(), beta, dw, l.entries())
		return
	}
	l.each(0, func(call *csrCall[T], i, _, _ int) {
		t := &l.tiles[i]
		switch {
		case t.n == 0:
		case l.code == nil:
			l.dotsPlain(t, alpha, beta, dw)
		case t.count > 1 && l.code.dotsRows == nil:
			for _, r := range t.rows {
				row := csrTile{at: t.at, n: t.n, count: 1}
				row.rows[0] = r
				l.dots(call, &row, alpha, beta, dw)
			}
		default:
			l.dots(call, t, alpha, beta, dw)
		}
	})
}

// dots does the entries of a tile by fours, the last ones beside dw.
func (l *CSRLayer[T]) dots(call *csrCall[T], t *csrTile, alpha, beta T, dw []T) {
	run := l.code.dotsRow
	if t.count > 1 {
		run = l.code.dotsRows
	}
	whole := t.n / dotCols * dotCols
	if whole > 0 {
		l.set(call, t, 0, whole, l.x, dw, l.y, 0, l.lines)
		call.alpha, call.beta = alpha, beta
		run(call)
	}
	if whole == t.n {
		return
	}
	left := copy(call.rest[:], l.columns[t.at+whole:t.at+t.n])
	for k := left; k < dotCols; k++ {
		call.rest[k] = call.rest[0]
	}
	l.set(call, t, 0, dotCols, l.x, nil, l.y, 0, l.lines)
	call.columns, call.alpha, call.beta = &call.rest[0], alpha, 0
	for k := range t.count {
		call.w[k] = &call.edge[k*dotCols]
	}
	run(call)
	for k, r := range t.rows[:t.count] {
		row := dw[l.starts[r]+whole:][:left]
		for j, v := range call.edge[k*dotCols:][:left] {
			if beta != 0 {
				v += beta * row[j]
			}
			row[j] = v
		}
	}
}

// BackwardInput computes dx, the gradient at the input, after LoadGradient.
func (l *CSRLayer[T]) BackwardInput(w, dx []T) {
	l.check("w", w, l.entries())
	l.check("dx", dx, l.n*l.cols)
	if l.n == 0 {
		return
	}
	Parallel(len(l.room(&l.dx, l.cols)), 1<<16, func(lo, hi int) { clear(l.dx[lo:hi]) })
	// Rows meet in columns: the work is shared out by parts of these, so that each
	// entry is read by one thread, and by lines where the parts are too few.
	parts := len(l.bounds) - 1
	shares := max(1, min(ceilDiv(l.lines, csrLines), ceilDiv(Threads(), parts)))
	grain := 1 + csrGrain*parts*shares/max(1, len(l.columns)*tileRows*l.lines)
	Parallel(parts*shares, grain, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			from, to := l.share(i%shares, shares), l.share(i%shares+1, shares)
			l.backwardInput(i/shares, from, to, w)
		}
	})
	l.store(l.dx, l.cols, dx)
}

// share is the first line of a share of the batch.
func (l *CSRLayer[T]) share(i, of int) int {
	return min(l.lines, ceilDiv(l.lines, csrLines)*i/of*csrLines)
}

// backwardInput adds up what the tiles contribute to a part of the columns, for
// lines from to to.
func (l *CSRLayer[T]) backwardInput(part, from, to int, w []T) {
	call := new(csrCall[T])
	width := len(l.bounds)
	for at := 0; at < len(l.tiles); {
		end := l.chunk(at, len(l.tiles))
		for first := from; first < to; first += csrLines {
			for i := at; i < end; i++ {
				t := &l.tiles[i]
				lo, hi := int(l.ends[i*width+part]), int(l.ends[i*width+part+1])
				if lo == hi {
					continue
				}
				lines := min(csrLines, to-first)
				if l.code == nil {
					l.inputPlain(t, lo, hi, w, first, lines)
					continue
				}
				l.set(call, t, lo, hi, l.dx, w, l.y, first, lines)
				if t.count > 1 {
					l.code.inputRows(call)
				} else {
					l.code.inputRow(call)
				}
			}
		}
		at = end
	}
}

const (
	// csrLines is how many lines go over a chunk at a time, as the code has them.
	csrLines = 4
	// csrChunk is how many entries are in a chunk: 128 KiB of float32, which stay in
	// a second-level cache while the lines are multiplied with them.
	csrChunk = 1 << 15
	// csrGrain is how many products of an entry and a line are worth a goroutine.
	csrGrain = 1 << 14
)

// chunk returns the end of the chunk of tiles that begins at tile at.
func (p *CSRPlan) chunk(at, limit int) int {
	entries := 0
	for at < limit && entries < csrChunk {
		entries += p.tiles[at].n * p.tiles[at].count
		at++
	}
	return at
}

// each calls body for all tiles, in parallel and chunk by chunk, with csrLines of
// so many lines at a time; once for each tile if there are none.
func (l *CSRLayer[T]) each(lines int, body func(call *csrCall[T], tile, first, lines int)) {
	grain := 1 + csrGrain*len(l.tiles)/max(1, l.entries()*l.lines)
	Parallel(len(l.tiles), grain, func(lo, hi int) {
		call := new(csrCall[T])
		for at := lo; at < hi; {
			end := l.chunk(at, hi)
			for first := 0; first < max(1, lines); first += csrLines {
				for i := at; i < end; i++ {
					body(call, i, first, min(csrLines, lines-first))
				}
			}
			at = end
		}
	})
}

// set fills in a call for entries lo to hi of a tile and some lines; w may be nil.
func (l *CSRLayer[T]) set(call *csrCall[T], t *csrTile, lo, hi int, x, w, y []T, first, lines int) {
	line := lanes[T]()
	call.n, call.columns = hi-lo, &l.columns[t.at+lo]
	call.step, call.x, call.lines = l.step*lineBytes, &x[first*line], lines
	call.ahead = t.n * lineBytes / line
	for k, r := range t.rows[:t.count] {
		if w != nil {
			call.w[k] = &w[l.starts[r]+lo]
		}
		call.y[k] = &y[(int(r)*l.step+first)*line]
	}
}

// room makes a buffer of lines for so many columns or rows, once.
func (l *CSRLayer[T]) room(buffer *[]T, n int) []T {
	if *buffer == nil {
		*buffer = make([]T, n*l.step*lanes[T]())
	}
	return *buffer
}

// load puts rows of size elements, one for each sample, into lines; lanes without
// a sample get zeros.
func (l *CSRLayer[T]) load(v []T, size int, lines []T) {
	line, strips := lanes[T](), ceilDiv(size, strip)
	Parallel(l.lines*strips, 1+1<<14/(strip*line), func(lo, hi int) {
		for i := lo; i < hi; i++ {
			b, q := i%l.lines, i/l.lines*strip
			first := b * line
			n, to := min(line, l.n-first), lines[(q*l.step+b)*line:]
			transpose(n, min(strip, size-q), v[first*size+q:], size, to, l.step*line)
			for k := 0; n < line && k < min(strip, size-q); k++ {
				clear(to[k*l.step*line+n:][:line-n])
			}
		}
	})
}

// store is the inverse of load; see storeLines.
func (l *CSRLayer[T]) store(lines []T, size int, v []T) {
	const together = 8
	line, strips := lanes[T](), ceilDiv(size, strip)
	Parallel(l.lines*strips, 1+1<<14/(strip*line), func(lo, hi int) {
		for i := lo; i < hi; i++ {
			b, from := i%l.lines, i/l.lines*strip
			n := min(line, l.n-b*line)
			for r := 0; r < n; r += together {
				for q := from; q < min(from+strip, size); q += line {
					transpose(
						min(line, size-q), min(together, n-r), lines[(q*l.step+b)*line+r:],
						l.step*line, v[(b*line+r)*size+q:], size,
					)
				}
			}
		}
	})
}
