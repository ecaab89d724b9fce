package finetune

import (
	"errors"

	"efcn/internal/kernel"
	"efcn/onnxio"
)

func init() {
	register("Gemm", emitGemm[float32], emitGemm[float64], func(o *operator) { o.fanIn = gemmFanIn })
	register("MatMul", emitMatMul[float32], emitMatMul[float64], func(o *operator) { o.fanIn = matMulFanIn })
}

func gemmFanIn(r *reinitializer, n *onnxio.Node) (at, fan int) {
	transB, err := transB(n)
	if s := r.t.sparse[n.Input(1)]; s != nil {
		return 1, s.fanIn(transB)
	}
	w := r.t.initializers[n.Input(1)]
	if w == nil || len(w.Dims) != 2 || err != nil {
		return 1, 0 // Train refuses it
	}
	if transB {
		return 1, int(w.Dims[1])
	}
	return 1, int(w.Dims[0])
}

func matMulFanIn(r *reinitializer, n *onnxio.Node) (at, fan int) {
	if w := r.t.initializers[n.Input(0)]; w != nil {
		if len(w.Dims) == 0 {
			return 0, 0
		}
		return 0, int(w.Dims[len(w.Dims)-1])
	}
	if s := r.t.sparse[n.Input(1)]; s != nil {
		return 1, s.fanIn(false)
	}
	if w := r.t.initializers[n.Input(1)]; w != nil && len(w.Dims) > 0 {
		return 1, int(w.Dims[max(0, len(w.Dims)-2)])
	}
	return 1, 0
}

func transB(n *onnxio.Node) (bool, error) {
	v, err := n.Int("transB", 0)
	return v != 0, err
}

// linear is y = alpha·x·op(w) + beta·b over rows of x (Gemm, and MatMul by a
// weight): x is rows×in, w is out×in if transposed and in×out otherwise, b has
// out elements or is absent.
type linear[T kernel.Float] struct {
	rows, in, out int
	transposed    bool
	alpha, beta   T
	many          bool // there are more rows than samples

	// sparse means that the gradient at the output is mostly zero, and that the
	// products of this backward skip the zeros.
	sparse bool
}

func (l *linear[T]) forward(in [][]T, y []T) {
	beta := T(0)
	if len(in) > 2 && l.beta != 0 {
		kernel.FillRows(l.rows, in[2], y)
		beta = l.beta
	}
	ldw := l.out
	if l.transposed {
		ldw = l.in
	}
	kernel.Gemm(false, l.transposed, l.rows, l.out, l.in, l.alpha, in[0], l.in, in[1], ldw, beta, y, l.out)
}

func (l *linear[T]) needs() needs { return needs{inputs: true} }

func (l *linear[T]) backward(p pass[T]) {
	ldw := l.out
	if l.transposed {
		ldw = l.in
	}
	l.sparse = l.transposed && kernel.MostlyZero(p.dout)
	switch {
	case p.din[0] == nil:
	case l.sparse:
		kernel.GemmSparse(false, l.rows, l.in, l.out, l.alpha, p.dout, l.out, p.in[1], ldw, 0, p.din[0], l.in)
	default:
		kernel.Gemm(false, !l.transposed, l.rows, l.in, l.out, l.alpha, p.dout, l.out, p.in[1], ldw, 0, p.din[0], l.in)
	}
	p.ready()
	if p.din[1] != nil {
		l.addGradient(p, l.alpha, 0, p.din[1])
	}
	if len(p.din) > 2 && p.din[2] != nil {
		kernel.SumRows(l.rows, p.dout, p.din[2])
		multiply(l.beta, p.din[2])
	}
}

// addGradient computes dst = alpha·(gradient at w) + beta·dst.
func (l *linear[T]) addGradient(p pass[T], alpha, beta T, dst []T) {
	if l.sparse {
		kernel.GemmSparse(true, l.out, l.in, l.rows, alpha, p.dout, l.out, p.in[0], l.in, beta, dst, l.in)
		return
	}
	if l.transposed {
		kernel.Gemm(true, false, l.out, l.in, l.rows, alpha, p.dout, l.out, p.in[0], l.in, beta, dst, l.in)
		return
	}
	kernel.Gemm(true, false, l.in, l.out, l.rows, alpha, p.in[0], l.in, p.dout, l.out, beta, dst, l.out)
}

func (l *linear[T]) fuses(i int) (fuses, inParts bool) { return i == 1, true }

// update subtracts rate·gradient from the weights as the product is formed:
// the gradient, as large as the weights, is never written down.
func (l *linear[T]) update(p pass[T], _ int, rate, keep T) {
	l.addGradient(p, -rate*l.alpha, keep, p.in[1])
}

// partSize is how many elements of a gradient are made, or sent to other groups, at a time.
const partSize = 1 << 20

func (l *linear[T]) gradient(p pass[T], _ int, visit func(at int, part []T)) {
	// A row of the weights belongs to a column of one factor.
	if l.transposed {
		productParts(p, l.sparse, l.rows, l.out, l.in, l.alpha, p.dout, p.in[0], visit)
		return
	}
	productParts(p, false, l.rows, l.in, l.out, l.alpha, p.in[0], p.dout, visit)
}

// productParts makes alpha·leftᵀ·right, rows×cols, and calls visit with its parts in
// order: at is the index of the first element of a part, which holds whole rows. left
// and right have n rows; sparse means that left is mostly zero.
func productParts[T kernel.Float](p pass[T], sparse bool, n, rows, cols int, alpha T, left, right []T,
	visit func(at int, part []T),
) {
	step := min(rows, 1+partSize/max(1, cols))
	part := p.part(step * cols)
	for r := 0; r < rows; r += step {
		m := min(step, rows-r)
		if sparse {
			kernel.GemmSparse(true, m, cols, n, alpha, left[r:], rows, right, cols, 0, part[:m*cols], cols)
		} else {
			kernel.Gemm(true, false, m, cols, n, alpha, left[r:], rows, right, cols, 0, part[:m*cols], cols)
		}
		visit(r*cols, part[:m*cols])
	}
}

func emitGemm[T kernel.Float](n *node[T]) error {
	transA, errA := n.Int("transA", 0)
	transposed, errB := transB(n.Node)
	alpha, errAlpha := n.Float("alpha", 1)
	beta, errBeta := n.Float("beta", 1)
	if err := errors.Join(errA, errB, errAlpha, errBeta); err != nil {
		return n.Wrap(err)
	}
	if transA != 0 {
		return n.Errorf("transA=1 puts the batch on the second axis; training needs it on the first")
	}
	x, err := n.activation(0)
	if err != nil {
		return err
	}
	if len(x.shape) != 1 {
		return n.Errorf("the input has shape %v a sample; want one axis", x.shape)
	}
	l := &linear[T]{rows: n.b.a.net.batch, in: x.size(), transposed: transposed, alpha: T(alpha), beta: T(beta)}
	w, err := n.weights(1, l)
	if err != nil {
		return err
	}
	var bias *parameter[T]
	if c, err := n.constant(2); err != nil {
		return err
	} else if c != nil {
		if len(c.Dims) == 2 && c.Dims[0] == 1 {
			bias, err = n.parameter(2, 1, l.out)
		} else {
			bias, err = n.parameter(2, l.out)
		}
		if err != nil {
			return err
		}
	}
	return n.emitLinear(l, []int{l.out}, x, w, bias)
}

// weights returns the matrix at input i and sets the layer's output size.
func (n *node[T]) weights(i int, l *linear[T]) (*parameter[T], error) {
	t, err := n.constant(i)
	if err != nil {
		return nil, err
	}
	if t == nil {
		return nil, n.Errorf("input %d: want a weight matrix", i)
	}
	dims := t.Dims
	if s := n.b.t.sparse[t.Name]; s != nil {
		dims = []int64{int64(s.Rows), int64(s.Cols)}
	}
	if len(dims) != 2 {
		return nil, n.Errorf("input %d: want a weight matrix", i)
	}
	in, out := int(dims[0]), int(dims[1])
	if l.transposed {
		in, out = out, in
	}
	if in != l.in {
		return nil, n.Errorf("weights %q have shape %v, the input %d features", t.Name, dims, l.in)
	}
	l.out = out
	return n.parameter(i)
}

// emitLinear emits the layer, or in its place the sparse one where the weights are
// stored as entries.
func (n *node[T]) emitLinear(l *linear[T], shape []int, x value, w, bias *parameter[T]) error {
	s := n.b.t.sparse[w.name]
	if s == nil {
		return n.emit(l, shape, []value{x}, w, bias)
	}
	products, err := kernel.NewCSRLayer[T](s.plan, l.rows)
	if err != nil {
		return n.Wrap(err)
	}
	sparse := &sparseLinear[T]{products, l.rows, l.in, l.out, l.transposed, l.alpha, l.beta, l.many}
	return n.emit(sparse, shape, []value{x}, w, bias)
}

// emitMatMul takes the last axis of the input for the features; the axes
// between it and the batch are rows.
func emitMatMul[T kernel.Float](n *node[T]) error {
	if !n.isActivation(0) || n.isActivation(1) {
		return n.emitProducts()
	}
	x, err := n.activation(0)
	if err != nil {
		return err
	}
	t, err := n.constant(1)
	if err != nil {
		return err
	}
	if t == nil || len(x.shape) == 0 || len(t.Dims) != 2 && n.b.t.sparse[t.Name] == nil {
		return n.emitProducts()
	}
	last := len(x.shape) - 1
	l := &linear[T]{rows: n.b.a.net.batch * product(x.shape[:last]), in: x.shape[last], alpha: 1, beta: 1, many: last > 0}
	w, err := n.weights(1, l)
	if err != nil {
		return err
	}
	return n.emitLinear(l, append(append([]int(nil), x.shape[:last]...), l.out), x, w, nil)
}
