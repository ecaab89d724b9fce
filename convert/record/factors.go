package record

import (
	"fmt"
	"slices"

	"efcn/convert/affine"
	"efcn/onnxio"
)

// factors are U [Rows, rank] and V [rank, Cols] of a factored layer, as they are stored.
type factors struct {
	left, right      *onnxio.Tensor
	rows, rank, cols int
}

// findFactors looks the factors of a layer up and checks their shapes.
func findFactors(l *Layer, g *onnxio.Graph) (*factors, error) {
	f := &factors{
		left: g.Initializer(l.Left), right: g.Initializer(l.Right), rows: l.rows(), rank: int(l.Rank), cols: l.cols(),
	}
	if f.rank < 1 || f.rank > min(f.rows, f.cols) {
		return nil, fmt.Errorf("record: rank %d of a %d×%d matrix", l.Rank, f.rows, f.cols)
	}
	for _, of := range []struct {
		name string
		t    *onnxio.Tensor
		dims []int64
	}{{l.Left, f.left, []int64{int64(f.rows), l.Rank}}, {l.Right, f.right, []int64{l.Rank, int64(f.cols)}}} {
		if t := of.t; t == nil || t.Type != onnxio.Float32 || t.Data == nil || !slices.Equal(t.Dims, of.dims) ||
			t.Data.Len() != 4*affine.Size(of.dims) {
			return nil, fmt.Errorf("factor %q: want a float32 initializer of shape %v", of.name, of.dims)
		}
	}
	return f, nil
}

// loaded are the factors in memory.
type loaded struct {
	*factors
	u, v []float32
}

func (f *factors) load() (*loaded, error) {
	u, err := onnxio.Floats[float32](f.left)
	if err != nil {
		return nil, err
	}
	v, err := onnxio.Floats[float32](f.right)
	return &loaded{f, u, v}, err
}

// Factors returns U [Rows, rank] and V [rank, Cols] of a factored layer, row-major, and
// its rank; 0 and no factors of another layer.
func (a *Matrix) Factors() (u, v []float32, rank int, err error) {
	if a.factors == nil {
		return nil, nil, 0, nil
	}
	f, err := a.factors.load()
	if err != nil {
		return nil, nil, 0, fmt.Errorf("layer %q: %w", a.Layer.Node, err)
	}
	return f.u, f.v, f.rank, nil
}

// ofRow is row r of U.
func (f *loaded) ofRow(r int) []float32 { return f.u[r*f.rank : (r+1)*f.rank] }

// added visits rows with U·V added to them. Where the row of U is zero they stay as they
// are, bit for bit.
func (f *loaded) added(visit RowVisitor) RowVisitor {
	sums, whole := make([]float64, f.cols), make([]float32, f.cols)
	return func(r int, row []float32, stored []int32) error {
		if !slices.ContainsFunc(f.ofRow(r), isNotZero) {
			return visit(r, row, stored)
		}
		clear(sums)
		for k, u := range f.ofRow(r) {
			if u == 0 {
				continue
			}
			for c, v := range f.v[k*f.cols : (k+1)*f.cols] {
				sums[c] += float64(u) * float64(v) // exact in float64
			}
		}
		for c, w := range row {
			whole[c] = float32(float64(w) + sums[c])
		}
		return visit(r, whole, nil)
	}
}

func isNotZero(v float32) bool { return v != 0 }

// productSums finds out what U·V adds to sums over the entries of a layer's matrix
// without making that matrix, which is out·in entries where U and V are rank·(out+in).
// An entry is worked out where it is asked for, in the support, and ‖U·V‖² follows from
// the Gram matrices of the factors:
//
//	‖U·V‖² = tr((UᵀU)(VVᵀ))
//
// The part outside the support is the difference of that and what lies inside. All
// three are taken in twice the precision of float64, so that the difference keeps its
// meaning where nearly all of U·V lies inside: it is off by less than 2⁻⁸⁰·‖U‖²·‖V‖²,
// and what is less than that is 0.
type productSums struct {
	*loaded
	columns []float32 // V transposed: [Cols, rank]
	inside  doubled   // sum of squares of the entries that were asked for
	// Rows of U and columns of V that are not zero, how many, and how many of the
	// entries that were asked for have both.
	row, column   []bool
	rowsN, colsN  int64
	insideNonZero int64
}

func newProductSums(f *loaded) *productSums {
	s := &productSums{
		loaded: f, columns: affine.Transposed(f.v, f.rank, f.cols), row: make([]bool, f.rows),
		column: make([]bool, f.cols),
	}
	for r := range s.row {
		if s.row[r] = slices.ContainsFunc(f.ofRow(r), isNotZero); s.row[r] {
			s.rowsN++
		}
	}
	for c := range s.column {
		if s.column[c] = slices.ContainsFunc(s.ofColumn(c), isNotZero); s.column[c] {
			s.colsN++
		}
	}
	return s
}

// ofColumn is column c of V.
func (s *productSums) ofColumn(c int) []float32 { return s.columns[c*s.rank : (c+1)*s.rank] }

// plus returns w plus entry (r, c) of U·V; w itself where that is 0. Each entry of the
// support is asked for once.
func (s *productSums) plus(w float64, r, c int) float64 {
	if !s.row[r] || !s.column[c] {
		return w
	}
	s.insideNonZero++
	var e doubled
	v := s.ofColumn(c)
	for k, u := range s.ofRow(r) {
		sum, rest := twoSum(e.high, float64(u)*float64(v[k])) // the product is exact
		e.high, e.low = sum, e.low+rest
	}
	e.high, e.low = twoSum(e.high, e.low)
	s.inside.addProduct(e, e)
	if e.high == 0 {
		return w
	}
	return w + e.high
}

// outside returns the sum of the squares of the entries of U·V that were not asked for,
// and how many of them may be other than zero.
func (s *productSums) outside() (square float64, nonZero int64) {
	u, v := gram(s.u, s.rank), gram(s.columns, s.rank)
	var all doubled
	var ofU, ofV float64 // ‖U‖², ‖V‖²
	for k := range s.rank {
		ofU, ofV = ofU+u[k*s.rank+k].high, ofV+v[k*s.rank+k].high
		for l := range s.rank {
			all.addProduct(u[k*s.rank+l], v[k*s.rank+l])
		}
	}
	const resolved = 1.0 / (1 << 40) / (1 << 40)
	square = all.minus(s.inside)
	if square < resolved*ofU*ofV {
		square = 0
	}
	return square, s.rowsN*s.colsN - s.insideNonZero
}

// gram returns the products of all columns of a with each other, where a has rank
// columns.
func gram(a []float32, rank int) []doubled {
	g := make([]doubled, rank*rank)
	for row := range slices.Chunk(a, rank) {
		for k, x := range row {
			for l := range k + 1 {
				g[k*rank+l].add(float64(x) * float64(row[l]))
			}
		}
	}
	for k := range rank {
		for l := range k {
			g[l*rank+k] = g[k*rank+l]
		}
	}
	return g
}
