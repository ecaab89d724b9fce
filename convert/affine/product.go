package affine

import (
	"encoding/binary"
	"io"
	"math"
	"math/bits"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
)

// Product is the affine map that several factors are one after another. It is
// never stored: a row is made when it is asked for, by multiplying the row of
// the last factor by the factors before it in turn.
//
// Entry (r, c) of F·G is the sum over the columns j that row r of F has in its
// support, ascending, of F[r,j]·G[j,c] where c is in the support of row j of G:
// each product rounded to float64, each added to the sum so far, which starts at
// +0. Of more factors the last two are multiplied first, then that row by the
// one before, and so on. At the end an entry is rounded to float32, once.
//
// The support of the product is what those sums run over, whatever their values.
//
// The bias is t, starting with the bias of the first factor and then
// t ← F·t + b for each that follows: the sum of a row in ascending order of
// columns, from +0, in float64 as above, then b added; rounded to float32 at the
// end.
type Product struct {
	factors   []Factor // in the order in which they are applied
	positions int      // of the output tensor, by its shape

	scratch sync.Pool // of *rowMaker
	counted func() int64
	inLocal func() *productLocal
}

// NewProduct returns the composition of factors, the first applied first, whose
// output has that many positions a channel.
func NewProduct(factors []Factor, positions int) *Product {
	m := &Product{factors: factors, positions: max(1, positions)}
	m.scratch.New = func() any { return newRowMaker(m) }
	m.counted = sync.OnceValue(m.count)
	m.inLocal = sync.OnceValue(m.chooseLocal)
	return m
}

func (m *Product) last() Factor { return m.factors[len(m.factors)-1] }

// Rows and Cols are the dimensions of the matrix.
func (m *Product) Rows() int { return m.last().rows() }

// Cols is the length of x.
func (m *Product) Cols() int { return m.factors[0].cols() }

// NonZeros returns the number of entries in the support.
func (m *Product) NonZeros() int64 { return m.counted() }

// Row calls visit with the column and value of every entry of row r that is in
// the support, in ascending order of columns.
func (m *Product) Row(r int, visit func(col int, v float32)) {
	s := m.scratch.Get().(*rowMaker)
	defer m.scratch.Put(s)
	s.row(r).drain(func(c int, v float64) { visit(c, float32(v)) })
}

// HasBias reports whether the map has a bias.
func (m *Product) HasBias() bool {
	return slices.ContainsFunc(m.factors, Factor.Biased)
}

// BiasVector returns b, [Rows], or nil if the map has no bias.
func (m *Product) BiasVector() []float32 {
	if !m.HasBias() {
		return nil
	}
	var t []float64
	for _, f := range m.factors {
		if t == nil && !f.Biased() {
			continue
		}
		next, before := make([]float64, f.rows()), t
		parallel(len(next), func(lo, hi int) {
			acc := &accumulator{}
			for r := lo; r < hi; r++ {
				if before != nil {
					next[r] = f.dot(r, before, acc)
				}
				next[r] += f.offset(r)
			}
		})
		t = next
	}
	b := make([]float32, len(t))
	for r, v := range t {
		b[r] = float32(v)
	}
	return b
}

// accumulator is a row that is being summed up.
type accumulator struct {
	sum    []float64
	marked []uint64 // bit c says that column c is in the support
	lo, hi int      // the words of marked that may have a bit lie in [lo, hi)
	taps   []Tap    // scratch
}

func newAccumulator(cols int) *accumulator {
	return &accumulator{sum: make([]float64, cols), marked: make([]uint64, (cols+63)/64), lo: math.MaxInt}
}

func (a *accumulator) add(c int, v float64) {
	a.sum[c] += v
	w := c >> 6
	a.marked[w] |= 1 << (c & 63)
	a.lo, a.hi = min(a.lo, w), max(a.hi, w+1)
}

// drain calls visit with what is in the row, in ascending order of columns, and
// empties it.
func (a *accumulator) drain(visit func(c int, v float64)) {
	for w := a.lo; w < a.hi; w++ {
		for m := a.marked[w]; m != 0; m &= m - 1 {
			c := w<<6 + bits.TrailingZeros64(m)
			visit(c, a.sum[c])
			a.sum[c] = 0
		}
		a.marked[w] = 0
	}
	a.lo, a.hi = math.MaxInt, 0
}

// rowMaker makes rows of a product. It has a buffer for every value between the
// factors, which all products of a plan's size can afford: they are vectors.
type rowMaker struct {
	factors []Factor
	rows    []*accumulator // rows[i] sums up what is multiplied by factor i
	seen    [][]int        // by factor and class: the pattern that it was last part of
	pattern int
}

func newRowMaker(m *Product) *rowMaker {
	s := &rowMaker{factors: m.factors}
	for _, f := range m.factors {
		s.rows = append(s.rows, newAccumulator(f.cols()))
	}
	return s
}

// row returns row r, which the caller has to drain.
func (s *rowMaker) row(r int) *accumulator {
	last := len(s.factors) - 1
	s.factors[last].addRow(r, 1, s.rows[last])
	for i := last - 1; i >= 0; i-- {
		f, to := s.factors[i], s.rows[i]
		s.rows[i+1].drain(func(j int, v float64) { f.addRow(j, v, to) })
	}
	return s.rows[0]
}

// columns returns the columns in the support of row r, ascending, in buf if that
// has room. Rows of an inner factor that have the same columns are read once.
func (s *rowMaker) columns(r int, buf []int32) []int32 {
	if s.seen == nil {
		for _, f := range s.factors {
			s.seen = append(s.seen, make([]int, f.classes()))
		}
	}
	s.pattern++
	last := len(s.factors) - 1
	s.factors[last].addRow(r, 0, s.rows[last])
	for i := last - 1; i >= 0; i-- {
		f, to, seen := s.factors[i], s.rows[i], s.seen[i]
		s.rows[i+1].drain(func(j int, _ float64) {
			if c := f.class(j); seen[c] != s.pattern {
				seen[c] = s.pattern
				f.addRow(j, 0, to)
			}
		})
	}
	cols := buf[:0]
	s.rows[0].drain(func(c int, _ float64) { cols = append(cols, int32(c)) })
	return cols
}

// class numbers the rows of the product so that rows of one number have the same
// columns.
func (m *Product) class(r int) int {
	for i := len(m.factors) - 1; i > 0; i-- {
		before, ok := m.factors[i].through(r)
		if !ok {
			return m.factors[i].class(r)*len(m.factors) + i
		}
		r = before
	}
	return m.factors[0].class(r) * len(m.factors)
}

// count counts the entries of the support: rows of one class have as many.
func (m *Product) count() int64 {
	rows := make(map[int]int)   // by class: a row of it
	many := make(map[int]int64) // by class: how many there are
	for r := range m.Rows() {
		c := m.class(r)
		rows[c] = r
		many[c]++
	}
	representatives := make([]int, 0, len(rows))
	for _, r := range rows {
		representatives = append(representatives, r)
	}
	var total atomic.Int64
	parallel(len(representatives), func(lo, hi int) {
		s := newRowMaker(m)
		var cols []int32
		for _, r := range representatives[lo:hi] {
			cols = s.columns(r, cols)
			total.Add(int64(len(cols)) * many[m.class(r)])
		}
	})
	return total.Load()
}

// parallel calls do with parts of 0 to n, on all cores.
func parallel(n int, do func(lo, hi int)) {
	workers := min(n, runtime.GOMAXPROCS(0))
	var wg sync.WaitGroup
	for i := range workers {
		wg.Go(func() { do(i*n/workers, (i+1)*n/workers) })
	}
	wg.Wait()
}

// writeRows writes what put makes of the rows of the product in their order,
// perChunk of them at a time, prepared in parallel. put appends to b.
func (m *Product) writeRows(w io.Writer, perChunk int, put func(b []byte, r int, row *accumulator) []byte) error {
	rows := m.Rows()
	return writeChunks(w, (rows+perChunk-1)/perChunk, func() filler {
		var buf []byte
		return func(c int) []byte {
			s := m.scratch.Get().(*rowMaker)
			defer m.scratch.Put(s)
			buf = buf[:0]
			for r := c * perChunk; r < min((c+1)*perChunk, rows); r++ {
				buf = put(buf, r, s.row(r))
			}
			return buf
		}
	})
}

// WriteDense writes the matrix as Map.WriteDense does.
func (m *Product) WriteDense(w io.Writer) error {
	rowBytes := 4 * m.Cols()
	if rowBytes == 0 {
		return nil
	}
	return m.writeRows(w, max(1, ChunkBytes/rowBytes), func(b []byte, _ int, row *accumulator) []byte {
		start := len(b)
		b = slices.Grow(b, rowBytes)[:start+rowBytes]
		dense := b[start:]
		clear(dense)
		row.drain(func(c int, v float64) { binary.LittleEndian.PutUint32(dense[4*c:], math.Float32bits(float32(v))) })
		return b
	})
}

// WriteValues writes the entries of the support as Map.WriteValues does.
func (m *Product) WriteValues(w io.Writer) error {
	return m.writeRows(w, m.rowsPerChunk(4), func(b []byte, _ int, row *accumulator) []byte {
		row.drain(func(_ int, v float64) { b = binary.LittleEndian.AppendUint32(b, math.Float32bits(float32(v))) })
		return b
	})
}

// WriteIndices writes the indices of the support as Map.WriteIndices does.
func (m *Product) WriteIndices(w io.Writer) error {
	perChunk, rows := m.rowsPerChunk(8), m.Rows()
	return writeChunks(w, (rows+perChunk-1)/perChunk, func() filler {
		var (
			buf  []byte
			cols []int32
		)
		return func(c int) []byte {
			s := m.scratch.Get().(*rowMaker)
			defer m.scratch.Put(s)
			buf = buf[:0]
			for r := c * perChunk; r < min((c+1)*perChunk, rows); r++ {
				start := uint64(r) * uint64(m.Cols())
				cols = s.columns(r, cols)
				for _, col := range cols {
					buf = binary.LittleEndian.AppendUint64(buf, start+uint64(col))
				}
			}
			return buf
		}
	})
}

func (m *Product) rowsPerChunk(bytes int64) int {
	perRow := m.NonZeros() / int64(max(m.Rows(), 1)) * bytes
	return int(max(1, ChunkBytes/max(perRow, 1)))
}
