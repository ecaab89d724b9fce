package engine

import (
	"fmt"

	"efcn/internal/kernel"
)

// Compress (https://onnx.ai/onnx/operators/onnx__Compress.html): the slices along an
// axis, or without one the elements, of which the condition is true. A condition
// that is shorter than the axis is false behind its end.
func init() {
	register(operator{name: "Compress", inputs: "vb"}, compress[float32], compress[float64])
}

func compress[T kernel.Float](n *node) (compute[T], error) {
	flat := !n.has("axis")
	axis := n.int("axis", 0)
	return func(x *exec[T], in []*Tensor[T]) ([]*Tensor[T], error) {
		data, shape, a := in[0], in[0].Shape, 0
		if flat {
			shape = []int{data.Len()}
		} else {
			var err error
			if a, err = axisIndex(axis, len(shape)); err != nil {
				return nil, err
			}
		}
		if len(in[1].Shape) != 1 || in[1].Len() > shape[a] {
			return nil, fmt.Errorf("the condition has shape %v; want a vector of at most %d elements", in[1].Shape,
				shape[a])
		}
		var kept []int
		for i, keep := range in[1].I {
			if keep != 0 {
				kept = append(kept, i)
			}
		}
		outer, inner := product(shape[:a]), product(shape[a+1:])
		dims := append([]int(nil), shape...)
		dims[a] = len(kept)
		y, err := x.alloc(data.Type, dims)
		if err != nil {
			return nil, err
		}
		to := 0
		for o := range outer {
			for _, i := range kept {
				from := (o*shape[a] + i) * inner
				if data.Type.IsFloat() {
					copy(y.F[to:to+inner], data.F[from:])
				} else {
					copy(y.I[to:to+inner], data.I[from:])
				}
				to += inner
			}
		}
		return []*Tensor[T]{y}, nil
	}, nil
}
