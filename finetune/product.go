package finetune

import (
	"slices"

	"efcn/internal/kernel"
)

// products is a list of matrix products c = a·b, where a is m×k, b is k×n and c is
// m×n: product i has the matrices that begin at aAt[i], bAt[i] and cAt[i]. Two may
// have a factor in common, and none a result.
type products[T kernel.Float] struct {
	m, n, k       int
	aAt, bAt, cAt []int32
	// a and b are the inputs that hold the factors, of which weight says which is a weight:
	// -1 for none.
	a, b, weight int
}

func (*products[T]) needs() needs { return needs{inputs: true} }

func (l *products[T]) forward(in [][]T, out []T) {
	for i, c := range l.cAt {
		kernel.Gemm(false, false, l.m, l.n, l.k, 1, in[l.a][l.aAt[i]:], l.k, in[l.b][l.bAt[i]:], l.n, 0, out[c:], l.n)
	}
}

func (l *products[T]) backward(p pass[T]) {
	if da := p.din[l.a]; da != nil {
		clear(da)
		for i, c := range l.cAt {
			kernel.Gemm(false, true, l.m, l.k, l.n, 1, p.dout[c:], l.n, p.in[l.b][l.bAt[i]:], l.n, 1, da[l.aAt[i]:], l.k)
		}
	}
	if db := p.din[l.b]; db != nil {
		clear(db)
		for i, c := range l.cAt {
			kernel.Gemm(true, false, l.k, l.n, l.m, 1, p.in[l.a][l.aAt[i]:], l.k, p.dout[c:], l.n, 1, db[l.bAt[i]:], l.n)
		}
	}
}

// join makes one product of those by the same b whose other factors follow each
// other.
func (l *products[T]) join() {
	for i, a := range l.aAt {
		if l.bAt[i] != l.bAt[0] || int(a) != i*l.m*l.k {
			return
		}
	}
	l.m *= len(l.aAt)
	l.aAt, l.bAt, l.cAt = l.aAt[:1], l.bAt[:1], l.cAt[:1]
}

// factor is an operand of a MatMul: the shape of the matrix or of the stack of
// matrices, and whether it is a vector that was made one.
type factor struct {
	dims   []int
	vector bool
	input  int // of the layer, the values before the weights
}

// emitProducts emits a MatMul whose factors are not a value and one weight matrix:
// of a value and weights of any rank, either first, or of two values. Axes before
// the last two are broadcast.
// https://onnx.ai/onnx/operators/onnx__MatMul.html
func (n *node[T]) emitProducts() error {
	factors, values, weights, err := n.factors()
	if err != nil {
		return err
	}
	a, b := factors[0].dims, factors[1].dims
	misfit := n.Errorf("factors of shapes %v and %v do not multiply", a, b)
	if a[len(a)-1] != b[len(b)-2] {
		return misfit
	}
	l := &products[T]{m: a[len(a)-2], k: a[len(a)-1], n: b[len(b)-1], a: factors[0].input, b: factors[1].input, weight: -1}
	if len(weights) > 0 {
		l.weight = 1 // after the value
	}
	rank := max(len(a), len(b)) - 2
	for i := range factors {
		// The batch has to be the first axis of the result.
		if n.isActivation(i) && (len(factors[i].dims) != rank+2 || factors[i].vector || rank == 0 && i == 1) {
			return n.Errorf("factors of shapes %v and %v; training needs the batch on the first axis of every computed one "+
				"and of the product", a, b)
		}
	}
	a = append(slices.Repeat([]int{1}, rank+2-len(a)), a[:len(a)-2]...)
	b = append(slices.Repeat([]int{1}, rank+2-len(b)), b[:len(b)-2]...)
	shape, aStrides, bStrides := make([]int, rank), make([]int, rank), make([]int, rank)
	for i := range shape {
		if shape[i] = max(a[i], b[i]); a[i] != shape[i] && a[i] != 1 || b[i] != shape[i] && b[i] != 1 {
			return misfit
		}
		if a[i] > 1 {
			aStrides[i] = product(a[i+1:]) * l.m * l.k
		}
		if b[i] > 1 {
			bStrides[i] = product(b[i+1:]) * l.k * l.n
		}
	}
	l.aAt, l.bAt = walk(shape, aStrides), walk(shape, bStrides)
	l.cAt = walk([]int{len(l.aAt)}, []int{l.m * l.n})
	if !factors[0].vector {
		shape = append(shape, l.m)
	}
	if !factors[1].vector {
		shape = append(shape, l.n)
	}
	l.join()
	return n.emit(l, shape[1:], values, weights...)
}

// factors reads the operands of a MatMul.
func (n *node[T]) factors() ([2]factor, []value, []*parameter[T], error) {
	var factors [2]factor
	var values []value
	var weights []*parameter[T]
	for i := range factors {
		if !n.isActivation(i) {
			continue
		}
		v, err := n.activation(i)
		if err != nil {
			return factors, nil, nil, err
		}
		factors[i] = factor{dims: toInts(n.withBatch(v)), input: len(values)}
		values = append(values, v)
	}
	for i := range factors {
		if n.isActivation(i) {
			continue
		}
		t, err := n.constant(i)
		if err != nil {
			return factors, nil, nil, err
		}
		if t == nil || n.b.t.sparse[t.Name] != nil {
			return factors, nil, nil, n.Errorf("input %d (%q): want a dense weight; a sparse one can be trained as the "+
				"second factor of a value", i, n.Input(i))
		}
		w, err := n.parameter(i)
		if err != nil {
			return factors, nil, nil, err
		}
		factors[i] = factor{dims: toInts(t.Dims), input: len(values)}
		weights = append(weights, w)
	}
	for i := range factors {
		f := &factors[i]
		if f.vector = len(f.dims) == 1; f.vector {
			f.dims = slices.Insert(f.dims, i, 1) // a row, or a column
		}
		if len(f.dims) < 2 {
			return factors, nil, nil, n.Errorf("input %d (%q) is a scalar, want a matrix", i, n.Input(i))
		}
	}
	return factors, values, weights, nil
}
