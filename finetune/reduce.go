package finetune

import (
	"math"
	"slices"

	"efcn/internal/cuda"
	"efcn/internal/kernel"
)

// Reductions over axes of the sample
// (https://onnx.ai/onnx/operators/onnx__ReduceSum.html and following).
func init() {
	register("ReduceSum", emitReduceSum[float32], emitReduceSum[float64])
	register("ReduceMean", emitReduceMean[float32], emitReduceMean[float64])
	register("ReduceMax", emitReduceMax[float32], emitReduceMax[float64])
	register("ReduceMin", emitReduceMin[float32], emitReduceMin[float64])
	register("ReduceProd", emitReduceProd[float32], emitReduceProd[float64])
	register("ReduceL1", emitReduceL1[float32], emitReduceL1[float64])
	register("ReduceL2", emitReduceL2[float32], emitReduceL2[float64])
	register("ReduceSumSquare", emitReduceSumSquare[float32], emitReduceSumSquare[float64])
	register("ReduceLogSum", emitReduceLogSum[float32], emitReduceLogSum[float64])
	register("ReduceLogSumExp", emitReduceLogSumExp[float32], emitReduceLogSumExp[float64])
}

// reducer makes one number y of the elements x[at[i]], and of the gradient g at
// it those at the elements.
type reducer[T kernel.Float] struct {
	value func(x []T, at []int32) float64
	slope func(x []T, at []int32, y, g float64, dx []T)
	// on is the same on a device, a sum times factor.
	on     cuda.Reduction
	factor float64
}

// reduction reduces n samples of size elements: output o of a sample takes those
// at starts[o] + at[i]. Every element belongs to one output.
type reduction[T kernel.Float] struct {
	reducer[T]
	n, size    int
	starts, at []int32
}

// plainSum is a reduction whose gradient does not depend on what is reduced.
type plainSum[T kernel.Float] struct{ reduction[T] }

func (*plainSum[T]) needs() needs { return needs{} }

func (r *plainSum[T]) backward(p pass[T]) {
	r.each(func(o, first int) { r.slope(nil, r.at, 0, float64(p.dout[o]), p.din[0][first:]) })
}

// each calls body for the outputs of all samples: o is the number of one, first
// the first of its elements.
func (r *reduction[T]) each(body func(o, first int)) {
	per := len(r.starts)
	kernel.Parallel(r.n*per, 1+elementGrain/max(1, len(r.at)), func(lo, hi int) {
		for o := lo; o < hi; o++ {
			body(o, o/per*r.size+int(r.starts[o%per]))
		}
	})
}

func (r *reduction[T]) forward(in [][]T, out []T) {
	r.each(func(o, first int) { out[o] = T(r.value(in[0][first:], r.at)) })
}

func (r *reduction[T]) backward(p pass[T]) {
	r.each(func(o, first int) {
		r.slope(p.in[0][first:], r.at, float64(p.out[o]), float64(p.dout[o]), p.din[0][first:])
	})
}

// emitReduction emits a reduction over the axes that the node names: an attribute
// before version 18 (ReduceSum: 13), an input since.
func (n *node[T]) emitReduction(r reducer[T], linear bool) error {
	x, err := n.activation(0)
	if err != nil {
		return err
	}
	axes, err := n.reducedAxes(x)
	if err != nil {
		return err
	}
	keep, err := n.Int("keepdims", 1)
	if err != nil {
		return n.Wrap(err)
	}
	var shape, kept, strides, gone, goneStrides []int
	for a, d := range x.shape {
		switch stride := product(x.shape[a+1:]); {
		case !slices.Contains(axes, a):
			shape, kept, strides = append(shape, d), append(kept, d), append(strides, stride)
		default:
			gone, goneStrides = append(gone, d), append(goneStrides, stride)
			if keep != 0 {
				shape = append(shape, 1)
			}
		}
	}
	l := reduction[T]{r, n.b.a.net.batch, x.size(), walk(kept, strides), walk(gone, goneStrides)}
	if linear {
		return n.emit(&plainSum[T]{l}, shape, []value{x})
	}
	return n.emit(&l, shape, []value{x})
}

// reducedAxes returns the axes of the sample of x that the node reduces, in
// ascending order.
func (n *node[T]) reducedAxes(x value) ([]int, error) {
	given, err := n.Ints("axes")
	if err != nil {
		return nil, n.Wrap(err)
	}
	noop, err := n.Int("noop_with_empty_axes", 0)
	if err != nil {
		return nil, n.Wrap(err)
	}
	if given == nil && n.Input(1) != "" {
		t, err := n.fixed(1)
		if err != nil {
			return nil, err
		}
		given = t.I
	}
	rank := len(x.shape) + 1
	if len(given) == 0 && noop != 0 {
		return nil, nil
	}
	var axes []int
	for _, a := range given {
		if a < 0 {
			a += int64(rank)
		}
		if a < 0 || a >= int64(rank) {
			return nil, n.Errorf("axes %v of %d", given, rank)
		}
		if !slices.Contains(axes, int(a)-1) {
			axes = append(axes, int(a)-1)
		}
	}
	slices.Sort(axes)
	if len(axes) == 0 || axes[0] < 0 {
		return nil, n.Errorf("axes %v of %d reduce the batch; training needs each sample for itself", given, rank)
	}
	return axes, nil
}

// summing reduces to the sum of term, whose derivative is slope.
func summing[T kernel.Float](on cuda.Reduction, term, slope func(v float64) float64) reducer[T] {
	return reducer[T]{
		on: on,
		value: func(x []T, at []int32) (sum float64) {
			for _, i := range at {
				sum += term(float64(x[i]))
			}
			return sum
		},
		slope: func(x []T, at []int32, _, g float64, dx []T) {
			for _, i := range at {
				dx[i] = T(g * slope(float64(x[i])))
			}
		},
	}
}

// scaled reduces to factor times the sum.
func scaled[T kernel.Float](factor float64) reducer[T] {
	return reducer[T]{
		on: cuda.ReduceSum, factor: factor,
		value: func(x []T, at []int32) (sum float64) {
			for _, i := range at {
				sum += float64(x[i])
			}
			return factor * sum
		},
		slope: func(_ []T, at []int32, _, g float64, dx []T) {
			for _, i := range at {
				dx[i] = T(factor * g)
			}
		},
	}
}

// extreme reduces to the element that no other is further than. Equal ones share the
// gradient, as in PyTorch's amax and amin.
func extreme[T kernel.Float](on cuda.Reduction, further func(a, b T) bool) reducer[T] {
	return reducer[T]{
		on: on,
		value: func(x []T, at []int32) float64 {
			best := x[at[0]]
			for _, i := range at[1:] {
				if further(x[i], best) || x[i] != x[i] {
					best = x[i]
				}
			}
			return float64(best)
		},
		slope: func(x []T, at []int32, y, g float64, dx []T) {
			equal := 0
			for _, i := range at {
				if x[i] == T(y) {
					equal++
				}
			}
			for _, i := range at {
				if dx[i] = 0; x[i] == T(y) {
					dx[i] = T(g / float64(equal))
				}
			}
		},
	}
}

func emitReduceSum[T kernel.Float](n *node[T]) error { return n.emitReduction(scaled[T](1), true) }

// emitReduceMean takes the mean over the last axes, which is how exporters write
// global average pooling, for a pooling.
func emitReduceMean[T kernel.Float](n *node[T]) error {
	x, err := n.activation(0)
	if err != nil {
		return err
	}
	axes, err := n.reducedAxes(x)
	if err != nil {
		return err
	}
	count := 1
	for _, a := range axes {
		count *= x.shape[a]
	}
	if first := len(x.shape) - len(axes); len(axes) > 0 && axes[0] == first && count > 0 {
		out, err := n.outputShape()
		if err != nil {
			return err
		}
		l := &averagePool[T]{window: global(count), planes: n.b.a.net.batch * product(x.shape[:first])}
		return n.emit(l, out, []value{x})
	}
	return n.emitReduction(scaled[T](1/float64(count)), true)
}

func emitReduceMax[T kernel.Float](n *node[T]) error {
	return n.emitExtreme(extreme(cuda.ReduceMax, func(a, b T) bool { return a > b }))
}

func emitReduceMin[T kernel.Float](n *node[T]) error {
	return n.emitExtreme(extreme(cuda.ReduceMin, func(a, b T) bool { return a < b }))
}

func (n *node[T]) emitExtreme(r reducer[T]) error {
	x, err := n.activation(0)
	if err != nil {
		return err
	}
	if x.size() == 0 {
		return n.Errorf("the extreme of no elements has no gradient")
	}
	return n.emitReduction(r, false)
}

func emitReduceL1[T kernel.Float](n *node[T]) error {
	return n.emitReduction(summing[T](cuda.ReduceL1, math.Abs, func(v float64) float64 {
		if v == 0 {
			return 0
		}
		return math.Copysign(1, v)
	}), false)
}

func emitReduceSumSquare[T kernel.Float](n *node[T]) error {
	return n.emitReduction(squares[T](), false)
}

func squares[T kernel.Float]() reducer[T] {
	return summing[T](cuda.ReduceSumSquare, func(v float64) float64 { return v * v },
		func(v float64) float64 { return 2 * v })
}

// emitReduceL2 has the gradient 0 where the norm is 0, as PyTorch has.
func emitReduceL2[T kernel.Float](n *node[T]) error {
	sum := squares[T]()
	return n.emitReduction(reducer[T]{
		on:    cuda.ReduceL2,
		value: func(x []T, at []int32) float64 { return math.Sqrt(sum.value(x, at)) },
		slope: func(x []T, at []int32, y, g float64, dx []T) {
			if y != 0 {
				g /= y
			}
			for _, i := range at {
				dx[i] = T(g * float64(x[i]))
			}
		},
	}, false)
}

func emitReduceLogSum[T kernel.Float](n *node[T]) error {
	sum := scaled[T](1)
	return n.emitReduction(reducer[T]{
		on:    cuda.ReduceLogSum,
		value: func(x []T, at []int32) float64 { return math.Log(sum.value(x, at)) },
		slope: func(x []T, at []int32, y, g float64, dx []T) { sum.slope(x, at, y, g/sum.value(x, at), dx) },
	}, false)
}

func emitReduceLogSumExp[T kernel.Float](n *node[T]) error {
	return n.emitReduction(reducer[T]{
		on: cuda.ReduceLogSumExp,
		value: func(x []T, at []int32) float64 {
			most := math.Inf(-1)
			for _, i := range at {
				most = max(most, float64(x[i]))
			}
			if math.IsInf(most, 0) {
				return most
			}
			sum := 0.0
			for _, i := range at {
				sum += math.Exp(float64(x[i]) - most)
			}
			return most + math.Log(sum)
		},
		slope: func(x []T, at []int32, y, g float64, dx []T) {
			for _, i := range at {
				dx[i] = T(g * math.Exp(float64(x[i])-y))
			}
		},
	}, false)
}

// emitReduceProd has for the derivative by an element the product of the others.
func emitReduceProd[T kernel.Float](n *node[T]) error {
	return n.emitReduction(reducer[T]{
		on: cuda.ReduceProd,
		value: func(x []T, at []int32) float64 {
			y := 1.0
			for _, i := range at {
				y *= float64(x[i])
			}
			return y
		},
		slope: func(x []T, at []int32, _, g float64, dx []T) {
			before := g
			for _, i := range at {
				dx[i] = T(before)
				before *= float64(x[i])
			}
			after := 1.0
			for _, i := range slices.Backward(at) {
				dx[i] = T(float64(dx[i]) * after)
				after *= float64(x[i])
			}
		},
	}, false)
}
