package engine

import (
	"fmt"
	"slices"
	"sync"

	"efcn/internal/kernel"
	"efcn/onnxio"
)

// SparseFactor is a sparse matrix, and which of its entries are stored.
type SparseFactor struct {
	*onnxio.SparseTensor
	kernel.CSR
}

// SparseFactors returns, by name, the sparse constants of a graph that may stay
// as they are: matrices of a floating type, well-formed, that nothing reads but
// products, Gemm and MatMul, as one of their two factors. The engine multiplies
// by them at the cost of the entries they store, and finetune trains these. Any
// other sparse constant is made dense.
//
// A product with an entry that is not stored is left out, even if the other
// factor is infinite or no number there.
func SparseFactors(g *onnxio.Graph) map[string]*SparseFactor {
	found := g.SparseConstants()
	if len(found) == 0 {
		return nil
	}
	for _, v := range slices.Concat(g.Inputs, g.Outputs) {
		delete(found, v.Name)
	}
	read := map[string]bool{}
	for _, n := range g.Nodes {
		product := onnxio.CanonicalDomain(n.Domain) == "" && (n.OpType == "Gemm" || n.OpType == "MatMul")
		if found[n.Input(0)] != nil && found[n.Input(1)] != nil {
			product = false
		}
		at := 0
		for name := range n.Reads() {
			if !product || at > 1 {
				delete(found, name)
			}
			read[name] = true
			at++
		}
	}
	factors := map[string]*SparseFactor{}
	for name, s := range found {
		if c, err := csrOf(s); err == nil && s.Values.Type.IsFloat() && read[name] {
			factors[name] = &SparseFactor{s, c}
		}
	}
	return factors
}

// csrOf returns which entries of a sparse matrix are stored. ONNX lists them by
// row and column, or by the row-major index of both; in ascending order, in which
// the values stay.
func csrOf(s *onnxio.SparseTensor) (kernel.CSR, error) {
	if s.Values == nil || s.Indices == nil || len(s.Dims) != 2 {
		return kernel.CSR{}, fmt.Errorf("sparse tensor: dimensions %v; want a matrix with values and indices", s.Dims)
	}
	shape, err := toDims(s.Dims)
	if err != nil {
		return kernel.CSR{}, err
	}
	n, err := onnxio.NumElements(s.Values.Dims)
	if err != nil {
		return kernel.CSR{}, err
	}
	index, err := onnxio.Ints(s.Indices)
	if err != nil {
		return kernel.CSR{}, err
	}
	pairs := len(s.Indices.Dims) == 2
	width := int64(1)
	if pairs {
		width = 2
	}
	if len(s.Values.Dims) != 1 || int64(len(index)) != width*n {
		return kernel.CSR{}, fmt.Errorf("sparse tensor: %d values and %d indices", n, len(index))
	}
	rows, cols := int64(shape[0]), int64(shape[1])
	if rows+cols > 1<<22+64*n { // what rows and columns take would be far more than the entries do
		return kernel.CSR{}, fmt.Errorf("sparse tensor: %d×%d with %d entries: too many rows or columns for so few",
			rows, cols, n)
	}
	c := kernel.CSR{Rows: shape[0], Cols: shape[1], Starts: make([]int, shape[0]+1), Columns: make([]int32, n)}
	last := int64(0)
	for k := range c.Columns {
		var r, q int64
		if pairs {
			r, q = index[2*k], index[2*k+1]
		} else if i := index[k]; i >= 0 && cols > 0 {
			r, q = i/cols, i%cols
		} else {
			r = -1
		}
		if r < 0 || r >= rows || q < 0 || q >= cols {
			return kernel.CSR{}, fmt.Errorf("sparse tensor: entry %d is outside %v", k, shape)
		}
		if r < last {
			return kernel.CSR{}, fmt.Errorf("sparse tensor: entry %d is in row %d, after one in row %d", k, r, last)
		}
		last = r
		c.Starts[r+1]++
		c.Columns[k] = int32(q)
	}
	for r := range shape[0] {
		c.Starts[r+1] += c.Starts[r]
	}
	return c, c.Validate()
}

// factor is a sparse factor made ready.
type factor[T kernel.Float] struct {
	source *onnxio.SparseTensor
	plan   *kernel.CSRPlan
	values []T
	rows   int
	cols   int

	layers sync.Pool // of *factorLayer[T]
}

// factorLayer is the kernel for a batch.
type factorLayer[T kernel.Float] struct {
	n int
	*kernel.CSRLayer[T]
}

func newFactor[T kernel.Float](s *SparseFactor) (*factor[T], error) {
	plan, err := kernel.NewCSRPlan(s.CSR)
	if err != nil {
		return nil, err
	}
	f := &factor[T]{source: s.SparseTensor, plan: plan, rows: s.Rows, cols: s.Cols}
	f.values, err = onnxio.View[T](s.Values)
	return f, err
}

// newFactors makes the sparse factors of a graph ready, by name.
func newFactors[T kernel.Float](g *onnxio.Graph) (map[string]*factor[T], error) {
	factors := map[string]*factor[T]{}
	for name, s := range SparseFactors(g) {
		f, err := newFactor[T](s)
		if err != nil {
			return nil, fmt.Errorf("sparse constant %q: %w", name, err)
		}
		factors[name] = f
	}
	return factors, nil
}

// prepareWith makes a node ready, some of whose inputs may be sparse factors.
func prepareWith[T kernel.Float](n *onnxio.Node, versions map[string]int64, outer scope,
	factors map[string]*factor[T],
) (*step[T], error) {
	for at := range min(2, len(n.Inputs)) {
		if f := factors[n.Inputs[at]]; f != nil {
			return prepareProduct(n, versions, outer, f, at)
		}
	}
	return prepareIn[T](n, versions, outer)
}

// times computes y = x·Aᵀ + bias for the n rows of x, or x·A where across says so.
func (f *factor[T]) times(n int, x []T, across bool, bias, y []T) error {
	layer, ok := f.layers.Get().(*factorLayer[T])
	if !ok || layer.n != n {
		l, err := kernel.NewCSRLayer[T](f.plan, n)
		if err != nil {
			return err
		}
		layer = &factorLayer[T]{n, l}
	}
	defer f.layers.Put(layer)
	if across {
		layer.LoadGradient(x)
		layer.BackwardInput(f.values, y)
	} else {
		layer.Forward(x, f.values, bias, y)
	}
	return nil
}

// sparseProduct is alpha·A'·B' + beta·C where input at, 0 or 1, is sparse; MatMul
// has alpha 1, no C and nothing transposed.
type sparseProduct[T kernel.Float] struct {
	*factor[T]
	at          int
	gemm        bool
	trans       [2]bool
	alpha, beta T
}

// prepareProduct makes a Gemm or MatMul ready whose input at is f. What is out of
// the ordinary, errors as well, is left to the product with the dense matrix.
func prepareProduct[T kernel.Float](n *onnxio.Node, versions map[string]int64, outer scope, f *factor[T],
	at int,
) (*step[T], error) {
	dense, err := prepareIn[T](n, versions, outer)
	if err != nil {
		return nil, err
	}
	p := &sparseProduct[T]{factor: f, at: at, gemm: n.OpType == "Gemm", alpha: 1}
	if p.gemm {
		gemm := &node{Node: n}
		p.alpha, p.beta = T(gemm.float("alpha", 1)), T(gemm.float("beta", 1))
		p.trans = [2]bool{gemm.int("transA", 0) != 0, gemm.int("transB", 0) != 0}
	}
	return &step[T]{node: n, op: dense.op, compute: func(x *exec[T], in []*Tensor[T]) ([]*Tensor[T], error) {
		if in[1-at] == nil {
			return nil, fmt.Errorf("input %d is missing", 1-at)
		}
		if y, err := p.compute(x, in); y != nil || err != nil {
			return one(y, err)
		}
		in = slices.Clone(in)
		if in[at], err = fromSparse[T](f.source); err != nil {
			return nil, err
		}
		return dense.compute(x, in)
	}}, nil
}

// compute returns nil for what is left to the dense product.
func (p *sparseProduct[T]) compute(x *exec[T], in []*Tensor[T]) (*Tensor[T], error) {
	other := in[1-p.at]
	rank := len(other.Shape)
	// What is multiplied are the rows of the other factor or, where the sparse one
	// comes first, its columns; then the result is turned over too.
	turned := rank == 2 && p.trans[1-p.at] == (p.at == 1)
	across := p.trans[p.at] != (p.at == 1)
	inner, width := p.cols, p.rows
	if across {
		inner, width = width, inner
	}
	odd := rank == 0 || p.at == 0 && rank > 2 || p.gemm && rank != 2
	if odd || other.Type != p.source.Values.Type || other.Len() == 0 || width == 0 {
		return nil, nil
	}
	shape := append(slices.Clone(other.Shape[:rank-1]), width)
	n, k, v := product(other.Shape[:rank-1]), other.Shape[rank-1], other.F
	if turned {
		n, k = k, n
		shape = []int{n, width}
	}
	if k != inner {
		return nil, nil
	}
	if turned {
		t, err := x.turn(other)
		if err != nil {
			return nil, err
		}
		v = t.F
	}
	var c *Tensor[T]
	if p.gemm && p.beta != 0 {
		c = in[2]
	}
	var bias []T
	if c != nil && p.at == 1 && !across && p.alpha == 1 && p.beta == 1 && c.Type == other.Type &&
		(slices.Equal(c.Shape, []int{width}) || slices.Equal(c.Shape, []int{1, width})) {
		bias, c = c.F, nil
	}
	y, err := x.fresh(other.Type, shape)
	if err != nil {
		return nil, err
	}
	if err := p.times(n, v, across, bias, y.F); err != nil {
		return nil, err
	}
	if p.at == 0 && rank == 2 {
		if y, err = x.turn(y); err != nil {
			return nil, err
		}
	}
	return p.finish(x, y, c)
}

// turn returns the transpose of a matrix.
func (x *exec[T]) turn(v *Tensor[T]) (*Tensor[T], error) {
	t, err := x.fresh(v.Type, []int{v.Shape[1], v.Shape[0]})
	if err != nil {
		return nil, err
	}
	copyWalk(t.F, v.F, walk{shape: t.Shape, strides: []int{1, v.Shape[1]}})
	return t, nil
}

// finish scales the product y and adds C, unless it is nil.
func (p *sparseProduct[T]) finish(x *exec[T], y, c *Tensor[T]) (*Tensor[T], error) {
	if p.alpha != 1 {
		for i := range y.F {
			y.F[i] *= p.alpha
		}
	}
	if c == nil {
		return y, nil
	}
	if shape, err := broadcastShape(y.Shape, c.Shape); err != nil || !slices.Equal(shape, y.Shape) || c.Type != y.Type {
		return nil, nil
	}
	wide, err := x.fresh(y.Type, y.Shape)
	if err != nil {
		return nil, err
	}
	copyWalk(wide.F, c.F, broadcastWalk(c.Shape, y.Shape))
	for i, v := range wide.F {
		y.F[i] += p.beta * v
	}
	return y, nil
}
