package engine

import (
	"slices"

	"efcn/internal/kernel"
	"efcn/onnxio"
)

// ArgMax and ArgMin (https://onnx.ai/onnx/operators/onnx__ArgMax.html): the index
// along an axis of the first extreme element, or the last with select_last_index.
func init() {
	register(operator{name: "ArgMax", inputs: "n"}, argExtreme[float32](true), argExtreme[float64](true))
	register(operator{name: "ArgMin", inputs: "n"}, argExtreme[float32](false), argExtreme[float64](false))
}

func argExtreme[T kernel.Float](largest bool) builder[T] {
	return func(n *node) (compute[T], error) {
		axis, keep := n.int("axis", 0), n.flag("keepdims", true)
		last := n.version >= 12 && n.flag("select_last_index", false)
		return func(x *exec[T], in []*Tensor[T]) ([]*Tensor[T], error) {
			v := in[0]
			a, err := axisIndex(axis, len(v.Shape))
			if err != nil {
				return nil, err
			}
			shape := slices.Clone(v.Shape)
			shape[a] = 1
			if !keep {
				shape = slices.Delete(shape, a, a+1)
			}
			y, err := x.alloc(onnxio.Int64, shape)
			if err != nil {
				return nil, err
			}
			outer, n, inner := around(v.Shape, a)
			if n == 0 && len(y.I) > 0 {
				return nil, errEmpty
			}
			switch {
			case v.Type.IsFloat():
				onLines(y.I, v.F, outer, n, 1, inner, argOf[T](largest, last))
			case v.Type == onnxio.Uint64:
				onLines(y.I, unsigned(v.I), outer, n, 1, inner, argOf[uint64](largest, last))
			default:
				onLines(y.I, v.I, outer, n, 1, inner, argOf[int64](largest, last))
			}
			return []*Tensor[T]{y}, nil
		}, nil
	}
}

func argOf[E number](largest, last bool) func(dst []int64, src []E) {
	return func(dst []int64, src []E) {
		at := 0
		for i, v := range src {
			if best := src[at]; largest && v > best || !largest && v < best || last && v == best {
				at = i
			}
		}
		dst[0] = int64(at)
	}
}
