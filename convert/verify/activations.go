package verify

import (
	"math"

	"efcn/internal/engine"
	"efcn/internal/kernel"
	"efcn/onnxio"
)

// activations are the values that the CNN computed on one batch. Bounds are computed in
// float64; activations know the precision that the model ran in.
type activations interface {
	// value returns a value in float64, nil if it was not computed.
	value(name string) *engine.Tensor[float64]
	// header returns a value without its floating-point elements, nil if it was not
	// computed.
	header(name string) *engine.Tensor[float64]
	// atEnds runs a node, in the precision of the model, on the least and on the greatest
	// that its first input may be in the other computation, d the bound on that.
	atEnds(node *onnxio.Node, opset int64, in []*engine.Tensor[float64], d []float64) ([2]*engine.Tensor[float64],
		error)
}

// activationsOf are those of a model that ran in T.
type activationsOf[T kernel.Float] map[string]*engine.Tensor[T]

func (a activationsOf[T]) value(name string) *engine.Tensor[float64] {
	if v := a[name]; v != nil {
		return convertTensor[float64](v)
	}
	return nil
}

func (a activationsOf[T]) header(name string) *engine.Tensor[float64] {
	if v := a[name]; v != nil {
		return &engine.Tensor[float64]{Type: v.Type, Shape: v.Shape, I: v.I}
	}
	return nil
}

func (a activationsOf[T]) atEnds(node *onnxio.Node, opset int64, in []*engine.Tensor[float64],
	d []float64,
) (ends [2]*engine.Tensor[float64], err error) {
	operands := make([]*engine.Tensor[T], len(in))
	for i, v := range in {
		if v != nil {
			operands[i] = convertTensor[T](v)
		}
	}
	lo, hi := within(operands[0], d)
	for i, end := range []*engine.Tensor[T]{lo, hi} {
		operands[0] = end
		out, err := engine.RunNode(node, opset, operands)
		if err != nil {
			return ends, err
		}
		ends[i] = convertTensor[float64](out[0])
	}
	return ends, nil
}

// within returns the least and the greatest that the other computation of a value
// may have, numbers of the same arithmetic.
func within[T kernel.Float](v *engine.Tensor[T], d []float64) (lo, hi *engine.Tensor[T]) {
	lo, hi = &engine.Tensor[T]{Type: v.Type, Shape: v.Shape}, &engine.Tensor[T]{Type: v.Type, Shape: v.Shape}
	if !v.Type.IsFloat() {
		lo.I, hi.I = make([]int64, len(v.I)), make([]int64, len(v.I))
		least, greatest := rangeOf(v.Type)
		for i, x := range v.I {
			lo.I[i], hi.I[i] = x, x
			if d != nil && d[i] > 0 {
				lo.I[i] = int64(math.Max(least, float64(x)-d[i]))
				hi.I[i] = int64(math.Min(greatest, float64(x)+d[i]))
			}
		}
		return lo, hi
	}
	lo.F, hi.F = make([]T, len(v.F)), make([]T, len(v.F))
	for i, x := range v.F {
		lo.F[i], hi.F[i] = x, x
		switch {
		case d == nil || d[i] == 0:
		case math.IsInf(d[i], 1) || math.IsNaN(float64(x)):
			lo.F[i], hi.F[i] = T(math.Inf(-1)), T(math.Inf(1))
		default:
			lo.F[i] = -notBelow[T](d[i] - float64(x))
			hi.F[i] = notBelow[T](d[i] + float64(x))
		}
	}
	return lo, hi
}

// notBelow returns a number of the arithmetic that is at least v, which is a sum
// that was rounded to float64.
func notBelow[T kernel.Float](v float64) T {
	r := T(v)
	if single, ok := any(r).(float32); ok {
		if float64(single) < v {
			r = T(math.Nextafter32(single, float32(math.Inf(1))))
		}
		return r
	}
	return T(math.Nextafter(v, math.Inf(1)))
}
