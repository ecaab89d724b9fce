package finetune

import (
	"fmt"
	"slices"

	"efcn/internal/cuda"
	"efcn/internal/kernel"
	"efcn/onnxio"
)

func init() {
	register("Add", emitAdd[float32], emitAdd[float64], func(o *operator) { o.reset = resetAdd })
	register("Sub", emitSub[float32], emitSub[float64])
	register("Mul", emitMul[float32], emitMul[float64], func(o *operator) { o.reset = resetMul })
	register("Div", emitDiv[float32], emitDiv[float64])
	register("Neg", emitNeg[float32], emitNeg[float64])
}

// resetMul sets the vector of a normalisation that was written out.
func resetMul(r *reinitializer, n *onnxio.Node) error {
	c, _ := r.vectorAfterWeights(n)
	if c == nil {
		return nil
	}
	return r.constant(c.Name, 1)
}

// resetAdd sets the bias of a matrix product or of a normalisation.
func resetAdd(r *reinitializer, n *onnxio.Node) error {
	c, x := r.vectorAfterWeights(n)
	if c == nil {
		return nil
	}
	switch maker := r.maker(x); {
	case maker == nil:
	case r.lacksBias(maker):
		return r.uniform(c.Name, r.fanIn(maker))
	case r.t.chains[maker] == nil && maker.OpType == "Mul":
		return r.constant(c.Name, 0)
	}
	return fmt.Errorf("constant %q is neither the bias of a matrix product nor of a normalisation; "+
		"how to initialise it is not known", c.Name)
}

// join is a·x + b·y of two values of one shape (Add, Sub).
type join[T kernel.Float] struct{ a, b T }

func (j join[T]) forward(in [][]T, out []T) {
	kernel.Parallel(len(out), elementGrain, func(lo, hi int) {
		x, y := in[0][lo:hi], in[1][lo:hi]
		if j.a == 1 && j.b == 1 {
			kernel.Add(out[lo:hi], x, y)
			return
		}
		for i, v := range x {
			out[lo+i] = j.a*v + j.b*y[i]
		}
	})
}

func (join[T]) needs() needs { return needs{} }

func (j join[T]) backward(p pass[T]) {
	for i, factor := range []T{j.a, j.b} {
		if p.din[i] == nil {
			continue
		}
		kernel.Parallel(len(p.dout), elementGrain, func(lo, hi int) {
			if factor == 1 {
				copy(p.din[i][lo:hi], p.dout[lo:hi])
				return
			}
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

func (gate[T]) needs() needs { return needs{inputs: true} }

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

// each calls body, in parallel, for runs of elements of row-major samples. The first
// meets constant k, the others that constant or, if step is 1, those after it.
func (s spread) each(body func(k, step, lo, hi int)) {
	run := s.inner
	if s.inner == 1 {
		run = s.count
	}
	kernel.Parallel(s.n*s.size/max(1, run), 1+elementGrain/max(1, run), func(lo, hi int) {
		for i := lo; i < hi; i++ {
			if s.inner == 1 {
				body(0, 1, i*run, (i+1)*run)
			} else {
				body(i%s.count, 0, i*run, (i+1)*run)
			}
		}
	})
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
	l.each(func(k, step, lo, hi int) {
		for i := lo; i < hi; i++ {
			out[i] = l.a*x[i] + l.b*c[k]
			k += step
		}
	})
}

func (*shift[T]) needs() needs { return needs{} }

func (l *shift[T]) backward(p pass[T]) {
	if p.din[0] != nil {
		kernel.Parallel(len(p.dout), elementGrain, func(lo, hi int) {
			for i, g := range p.dout[lo:hi] {
				p.din[0][lo+i] = l.a * g
			}
		})
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
	l.each(func(k, step, lo, hi int) {
		for i := lo; i < hi; i++ {
			out[i] = x[i] * c[k]
			k += step
		}
	})
}

// needs: the input, for the gradient at the constant.
func (l *scale[T]) needs() needs { return needs{inputs: l.fixed == nil} }

func (l *scale[T]) backward(p pass[T]) {
	c := l.fixed
	if c == nil {
		c = p.in[1]
	}
	if p.din[0] != nil {
		l.each(func(k, step, lo, hi int) {
			for i := lo; i < hi; i++ {
				p.din[0][i] = p.dout[i] * c[k]
				k += step
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

// The functions of Add, Sub, Mul and Div, with their derivatives.
var (
	sumOf        = pairwise{func(a, b float64) float64 { return a + b }, constantSlopes(1, 1), cuda.PairAdd}
	differenceOf = pairwise{func(a, b float64) float64 { return a - b }, constantSlopes(1, -1), cuda.PairSub}
	productOf    = pairwise{func(a, b float64) float64 { return a * b }, [2]func(a, b float64) float64{
		func(_, b float64) float64 { return b },
		func(a, _ float64) float64 { return a },
	}, cuda.PairMul}
	quotientOf = pairwise{func(a, b float64) float64 { return a / b }, [2]func(a, b float64) float64{
		func(_, b float64) float64 { return 1 / b },
		func(a, b float64) float64 { return -a / b / b },
	}, cuda.PairDiv}
)

func constantSlopes(a, b float64) [2]func(a, b float64) float64 {
	return [2]func(a, b float64) float64{
		func(float64, float64) float64 { return a },
		func(float64, float64) float64 { return b },
	}
}

func emitAdd[T kernel.Float](n *node[T]) error {
	if n.isActivation(0) && n.isActivation(1) {
		return n.emitPair(join[T]{1, 1}, sumOf)
	}
	return n.emitConstant(n.constantAt(), sumOf, true,
		func(s spread, _ int, fixed []T) layer[T] { return &shift[T]{s, 1, 1, fixed} })
}

func emitSub[T kernel.Float](n *node[T]) error {
	if n.isActivation(0) && n.isActivation(1) {
		return n.emitPair(join[T]{1, -1}, differenceOf)
	}
	return n.emitConstant(n.constantAt(), differenceOf, false, func(s spread, at int, fixed []T) layer[T] {
		if at == 0 {
			return &shift[T]{s, -1, 1, fixed}
		}
		return &shift[T]{s, 1, -1, fixed}
	})
}

func emitMul[T kernel.Float](n *node[T]) error {
	if n.isActivation(0) && n.isActivation(1) {
		return n.emitPair(gate[T]{}, productOf)
	}
	return n.emitConstant(n.constantAt(), productOf, true,
		func(s spread, _ int, fixed []T) layer[T] { return &scale[T]{s, fixed} })
}

func emitDiv[T kernel.Float](n *node[T]) error {
	if !n.isActivation(0) || n.isActivation(1) {
		return n.emitBinary(quotientOf)
	}
	return n.emitConstant(1, quotientOf, false, func(s spread, _ int, fixed []T) layer[T] {
		for i := range fixed {
			fixed[i] = 1 / fixed[i]
		}
		return &scale[T]{s, fixed}
	})
}

// constantAt is the one of inputs 0 and 1 that is a constant.
func (n *node[T]) constantAt() int {
	if n.isActivation(1) {
		return 0
	}
	return 1
}

func emitNeg[T kernel.Float](n *node[T]) error {
	x, err := n.activation(0)
	if err != nil {
		return err
	}
	s := spread{n: n.b.a.net.batch, size: x.size(), count: 1, inner: max(1, x.size())}
	return n.emit(&scale[T]{s, []T{-1}}, x.shape, []value{x})
}

// emitPair emits two computed values: l where they have one shape, else f, which
// is the same, broadcast.
func (n *node[T]) emitPair(l layer[T], f pairwise) error {
	x, err := n.activation(0)
	if err != nil {
		return err
	}
	y, err := n.activation(1)
	if err != nil {
		return err
	}
	if slices.Equal(x.shape, y.shape) {
		return n.emit(l, x.shape, []value{x, y})
	}
	return n.emitZip(f, [2]operand[T]{n.computed(x), n.computed(y)})
}

// emitConstant emits a function of a computed value and the constant at input at:
// as along has it where the constant lies over neighbouring axes of the value, else
// f, which is the same, broadcast. The constant is a weight if it may be one, and
// along is then given nil for its values.
func (n *node[T]) emitConstant(at int, f pairwise, trainable bool,
	along func(s spread, at int, fixed []T) layer[T],
) error {
	x, err := n.activation(1 - at)
	if err != nil {
		return err
	}
	c, err := n.operand(at)
	if err != nil {
		return err
	}
	t, err := n.constant(at)
	if err != nil {
		return err
	}
	var params []*parameter[T]
	if trainable && trains(x, t) {
		if c.param, err = n.vector(at, x, t); err != nil {
			return err
		}
		c.fixed, params = nil, append(params, c.param)
	}
	if s, ok := n.spread(x, c.dims); ok {
		return n.emit(along(s, at, c.fixed), x.shape, []value{x}, params...)
	}
	operands := [2]operand[T]{n.computed(x), n.computed(x)}
	operands[at] = c
	return n.emitZip(f, operands)
}

// vector makes the constant c at input at, which lies over the value x at the
// other, a parameter.
func (n *node[T]) vector(at int, x value, c *onnxio.Tensor) (*parameter[T], error) {
	p, err := n.parameter(at)
	source := n.b.t.beforeExchange(n.Input(1 - at))
	if err == nil && product(toInts(c.Dims)) == x.size() && n.b.t.subset.mayTie(c.Name, source) {
		p.frozen = true
	}
	return p, err
}

// trains reports whether the constant operand of an Add or Mul is a weight: a
// vector that comes after other weights is (the bias of a MatMul, a BatchNormalization
// that was written out); a scalar is not, nor is what is done to the input
// before any weight, which is its normalisation.
func trains(x value, c *onnxio.Tensor) bool {
	return x.deep && len(c.Dims) > 0 && product(toInts(c.Dims)) > 1
}

// spread returns how a constant of some shape lies over the value x: whether it
// does so over neighbouring axes of a sample, and leaves its shape alone.
func (n *node[T]) spread(x value, dims []int) (spread, bool) {
	full := append([]int{1}, x.shape...) // the batch axis as the constant has to have it
	if len(dims) > len(full) {
		return spread{}, false
	}
	dims = append(slices.Repeat([]int{1}, len(full)-len(dims)), dims...)
	first, last := len(full), len(full) // axes that the constant has
	for a, d := range dims {
		if d == 1 {
			continue
		}
		if d != full[a] {
			return spread{}, false
		}
		first, last = min(first, a), a+1
	}
	s := spread{n: n.b.a.net.batch, size: x.size(), count: product(dims), inner: product(full[last:])}
	if first == len(full) {
		s.inner = max(1, s.size)
	}
	return s, s.count == product(full[min(first, last):last])
}
