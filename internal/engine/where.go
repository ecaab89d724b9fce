package engine

import (
	"fmt"

	"efcn/internal/kernel"
)

// Where (https://onnx.ai/onnx/operators/onnx__Where.html): elements of the second
// or third operand by the condition, all three broadcast.
func init() {
	register(operator{name: "Where", inputs: "bvv"}, where[float32], where[float64])
}

func where[T kernel.Float](*node) (compute[T], error) {
	return func(x *exec[T], in []*Tensor[T]) ([]*Tensor[T], error) {
		cond, a, b := in[0], in[1], in[2]
		if a.Type != b.Type {
			return nil, fmt.Errorf("operands are %s and %s; a Cast must make them the same", a.Type, b.Type)
		}
		shape, err := broadcastShape(cond.Shape, a.Shape, b.Shape)
		if err != nil {
			return nil, err
		}
		y, err := x.alloc(a.Type, shape)
		if err != nil {
			return nil, err
		}
		l := newLoops(shape, cond.Shape, a.Shape, b.Shape)
		if a.Type.IsFloat() {
			choose(l, y.F, cond.I, a.F, b.F)
		} else {
			choose(l, y.I, cond.I, a.I, b.I)
		}
		return []*Tensor[T]{y}, nil
	}, nil
}

func choose[E any](l loops, dst []E, cond []int64, a, b []E) {
	l.each(func(out, n int, at []int) {
		c, i, j := at[0], at[1], at[2]
		for k := range n {
			if cond[c] != 0 {
				dst[out+k] = a[i]
			} else {
				dst[out+k] = b[j]
			}
			c, i, j = c+l.steps[0], i+l.steps[1], j+l.steps[2]
		}
	})
}
