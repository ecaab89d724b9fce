package finetune

import (
	"slices"

	"efcn/internal/kernel"
	"efcn/onnxio"
)

func init() {
	register("Add", emitAdd[float32], emitAdd[float64])
	register("Sub", emitSub[float32], emitSub[float64])
	register("Mul", emitMul[float32], emitMul[float64])
	register("Div", emitDiv[float32], emitDiv[float64])
	register("Neg", emitNeg[float32], emitNeg[float64])
}

// join is a·x + b·y of two values of one shape (Add, Sub).
type join[T kernel.Float] struct{ a, b T }

func (j join[T]) forward(in [][]T, out []T) {
	kernel.Parallel(len(out), elementGrain, func(lo, hi int) {
		x, y := in[0][lo:hi], in[1][lo:hi]
		for i, v := range x {
			out[lo+i] = j.a*v + j.b*y[i]
		}
	})
}

func (j join[T]) backward(p pass[T]) {
	for i, factor := range []T{j.a, j.b} {
		if p.din[i] == nil {
			continue
		}
		kernel.Parallel(len(p.dout), elementGrain, func(lo, hi int) {
			for k, g := range p.dout[lo:hi] {
				p.din[i][lo+k] = factor * g
			}
		})
	}
}

// gate is x·y of two values of one shape (Mul).
type gate[T kernel.Float] struct{}

func (gate[T]) forward(in [][]T, out []T) {
	kernel.Parallel(len(out), elementGrain, func(lo, hi int) {
		x, y := in[0][lo:hi], in[1][lo:hi]
		for i, v := range x {
			out[lo+i] = v * y[i]
		}
	})
}

func (gate[T]) backward(p pass[T]) {
	for i := range 2 {
		if p.din[i] == nil {
			continue
		}
		kernel.Parallel(len(p.dout), elementGrain, func(lo, hi int) {
			other := p.in[1-i][lo:hi]
			for k, g := range p.dout[lo:hi] {
				p.din[i][lo+k] = g * other[k]
			}
		})
	}
}

// spread says how a constant lies over a sample: element i of the sample meets
// constant (i / inner) mod count.
type spread struct{ n, size, count, inner int }

// each calls body for runs of elements of row-major samples that meet the same
// constant.
func (s spread) each(body func(constant, lo, hi int)) {
	for i := 0; i < s.n*s.size; i += s.inner {
		body(i/s.inner%s.count, i, i+s.inner)
	}
}

// total adds to dst, for each constant, the sum of term over the elements that
// meet it, in float64 so that a sum over batch and positions keeps its digits.
func total[T kernel.Float](s spread, dst []T, term func(lo, hi int) float64) {
	kernel.Parallel(s.count, 1+1<<13/max(1, s.n*s.size/max(1, s.count)), func(lo, hi int) {
		for c := lo; c < hi; c++ {
			var sum float64
			for i := c * s.inner; i < s.n*s.size; i += s.count * s.inner {
				sum += term(i, i+s.inner)
			}
			dst[c] = T(sum)
		}
	})
}

// shift is a·x + b·c with c a constant or parameter that lies over the sample.
type shift[T kernel.Float] struct {
	spread
	a, b  T
	fixed []T // c where it is not trained
}

func (l *shift[T]) forward(in [][]T, out []T) {
	c := l.fixed
	if c == nil {
		c = in[1]
	}
	x := in[0]
	l.each(func(k, lo, hi int) {
		add := l.b * c[k]
		for i := lo; i < hi; i++ {
			out[i] = l.a*x[i] + add
		}
	})
}

func (l *shift[T]) backward(p pass[T]) {
	if p.din[0] != nil {
		for i, g := range p.dout {
			p.din[0][i] = l.a * g
		}
	}
	if l.fixed == nil && p.din[1] != nil {
		total(l.spread, p.din[1], func(lo, hi int) (sum float64) {
			for _, g := range p.dout[lo:hi] {
				sum += float64(l.b * g)
			}
			return sum
		})
	}
}

// scale is x·c with c a constant or parameter that lies over the sample.
type scale[T kernel.Float] struct {
	spread
	fixed []T // c where it is not trained
}

func (l *scale[T]) forward(in [][]T, out []T) {
	c := l.fixed
	if c == nil {
		c = in[1]
	}
	x := in[0]
	l.each(func(k, lo, hi int) {
		f := c[k]
		for i := lo; i < hi; i++ {
			out[i] = x[i] * f
		}
	})
}

func (l *scale[T]) backward(p pass[T]) {
	c := l.fixed
	if c == nil {
		c = p.in[1]
	}
	if p.din[0] != nil {
		l.each(func(k, lo, hi int) {
			f := c[k]
			for i := lo; i < hi; i++ {
				p.din[0][i] = p.dout[i] * f
			}
		})
	}
	if l.fixed == nil && p.din[1] != nil {
		total(l.spread, p.din[1], func(lo, hi int) (sum float64) {
			x := p.in[0][lo:hi]
			for i, g := range p.dout[lo:hi] {
				sum += float64(g) * float64(x[i])
			}
			return sum
		})
	}
}

func emitAdd[T kernel.Float](n *node[T]) error {
	if n.isActivation(0) && n.isActivation(1) {
		return n.emitPair(join[T]{1, 1})
	}
	at := 1
	if n.isActivation(1) {
		at = 0
	}
	return n.emitShift(at, 1, 1, true)
}

func emitSub[T kernel.Float](n *node[T]) error {
	switch {
	case n.isActivation(0) && n.isActivation(1):
		return n.emitPair(join[T]{1, -1})
	case n.isActivation(0):
		return n.emitShift(1, 1, -1, false)
	default:
		return n.emitShift(0, -1, 1, false)
	}
}

func emitMul[T kernel.Float](n *node[T]) error {
	if n.isActivation(0) && n.isActivation(1) {
		return n.emitPair(gate[T]{})
	}
	at := 1
	if n.isActivation(1) {
		at = 0
	}
	x, s, c, err := n.broadcast(at)
	if err != nil {
		return err
	}
	if !trains(x, c) {
		fixed, err := n.floats(at)
		if err != nil {
			return err
		}
		return n.emit(&scale[T]{s, fixed}, x.shape, []value{x})
	}
	p, err := n.vector(at, x, c)
	if err != nil {
		return err
	}
	return n.emit(&scale[T]{spread: s}, x.shape, []value{x}, p)
}

func emitDiv[T kernel.Float](n *node[T]) error {
	if !n.isActivation(0) || n.isActivation(1) {
		return n.Errorf("only a division by a constant can be trained")
	}
	x, s, _, err := n.broadcast(1)
	if err != nil {
		return err
	}
	fixed, err := n.floats(1)
	if err != nil {
		return err
	}
	for i := range fixed {
		fixed[i] = 1 / fixed[i]
	}
	return n.emit(&scale[T]{s, fixed}, x.shape, []value{x})
}

func emitNeg[T kernel.Float](n *node[T]) error {
	x, err := n.activation(0)
	if err != nil {
		return err
	}
	s := spread{n: n.b.a.net.batch, size: x.size(), count: 1, inner: max(1, x.size())}
	return n.emit(&scale[T]{s, []T{-1}}, x.shape, []value{x})
}

// emitPair emits a layer of two values of one shape, or of two that are broadcast
// to one. https://onnx.ai/onnx/repo-docs/Broadcasting.html
func (n *node[T]) emitPair(l layer[T]) error {
	x, err := n.activation(0)
	if err != nil {
		return err
	}
	y, err := n.activation(1)
	if err != nil {
		return err
	}
	shape := slices.Clone(x.shape)
	fit := len(x.shape) == len(y.shape)
	for a := 0; fit && a < len(shape); a++ {
		shape[a] = max(x.shape[a], y.shape[a])
		fit = (x.shape[a] == shape[a] || x.shape[a] == 1) && (y.shape[a] == shape[a] || y.shape[a] == 1)
	}
	if !fit {
		return n.Errorf("operands have shapes %v and %v a sample; two computed values can be trained if they have as many axes, of the same lengths or 1", x.shape, y.shape)
	}
	if x, err = n.expand(x, shape); err != nil {
		return err
	}
	if y, err = n.expand(y, shape); err != nil {
		return err
	}
	return n.emit(l, shape, []value{x, y})
}

// expand repeats a value along the axes on which it has length 1 and shape has not.
func (n *node[T]) expand(v value, shape []int) (value, error) {
	if slices.Equal(v.shape, shape) {
		return v, nil
	}
	strides := make([]int, len(shape))
	for a, d := range v.shape {
		if d == shape[a] {
			strides[a] = product(v.shape[a+1:])
		}
	}
	l := &selection[T]{n.b.a.net.batch, v.size(), walk(shape, strides)}
	out, err := n.b.a.add(n.label()+" (broadcast)", l, product(shape), []operand[T]{{node: v.node, wants: v.wants, spent: v.once && v.spent}}, true)
	if err != nil {
		return value{}, n.Wrap(err)
	}
	return value{node: out, shape: shape, wants: v.wants, deep: v.deep, once: true}, nil
}

// emitShift emits a·x + b·c with the constant c at input at.
func (n *node[T]) emitShift(at int, a, b T, trainable bool) error {
	x, s, c, err := n.broadcast(at)
	if err != nil {
		return err
	}
	l := &shift[T]{spread: s, a: a, b: b}
	if !trainable || !trains(x, c) {
		if l.fixed, err = n.floats(at); err != nil {
			return err
		}
		return n.emit(l, x.shape, []value{x})
	}
	p, err := n.vector(at, x, c)
	if err != nil {
		return err
	}
	return n.emit(l, x.shape, []value{x}, p)
}

// vector makes the constant c at input at, which lies over the value x at the
// other, a parameter.
func (n *node[T]) vector(at int, x value, c *onnxio.Tensor) (*parameter[T], error) {
	p, err := n.parameter(at)
	if err == nil && product(toInts(c.Dims)) == x.size() && n.b.t.subset.mayTie(c.Name, n.Input(1-at)) {
		p.frozen = true
	}
	return p, err
}

// trains says whether the constant operand of an Add or Mul is a weight: a
// vector behind other weights is (the bias of a MatMul, a BatchNormalization
// that was written out); a scalar is not, nor is what is done to the input
// before any weight, which is its normalisation.
func trains(x value, c *onnxio.Tensor) bool {
	return x.deep && len(c.Dims) > 0 && product(toInts(c.Dims)) > 1
}

// broadcast returns the computed value at the input that is not at, and how the
// constant at input at lies over it.
func (n *node[T]) broadcast(at int) (value, spread, *onnxio.Tensor, error) {
	x, err := n.activation(1 - at)
	if err != nil {
		return value{}, spread{}, nil, err
	}
	c, err := n.constant(at)
	if err != nil {
		return value{}, spread{}, nil, err
	}
	if c == nil {
		return value{}, spread{}, nil, n.Errorf("input %d is missing", at)
	}
	dims := toInts(c.Dims)
	full := append([]int{1}, x.shape...) // the batch axis as the constant has to have it
	misfit := n.Errorf("constant %q of shape %v over a value of shape %v a sample; a scalar, or a vector over neighbouring axes, can be trained", c.Name, c.Dims, x.shape)
	if len(dims) > len(full) {
		return value{}, spread{}, nil, misfit
	}
	for len(dims) < len(full) {
		dims = append([]int{1}, dims...)
	}
	first, last := len(full), len(full) // axes that the constant has
	for a, d := range dims {
		if d == 1 {
			continue
		}
		if d != full[a] {
			return value{}, spread{}, nil, misfit
		}
		if first == len(full) {
			first = a
		}
		last = a + 1
	}
	s := spread{n: n.b.a.net.batch, size: x.size(), count: product(dims), inner: product(full[last:])}
	if first == len(full) {
		s.inner = max(1, s.size)
	}
	if s.count != product(full[min(first, last):last]) {
		return value{}, spread{}, nil, misfit
	}
	return x, s, c, nil
}
