package engine

import (
	"fmt"

	"efcn/internal/kernel"
)

// Transpose (https://onnx.ai/onnx/operators/onnx__Transpose.html); without perm
// the axes are reversed.
func init() {
	register(operator{name: "Transpose", inputs: "v"}, transpose[float32], transpose[float64])
}

func transpose[T kernel.Float](n *node) (compute[T], error) {
	perm, given := n.ints("perm"), n.has("perm")
	return func(x *exec[T], in []*Tensor[T]) ([]*Tensor[T], error) {
		rank := len(in[0].Shape)
		order := make([]int, rank)
		if !given {
			for i := range order {
				order[i] = rank - 1 - i
			}
			return one(x.transpose(in[0], order))
		}
		if len(perm) != rank {
			return nil, fmt.Errorf("perm %v is not for rank %d", perm, rank)
		}
		if _, err := axisSet(perm, rank); err != nil {
			return nil, fmt.Errorf("perm %v: %w", perm, err)
		}
		for i, a := range perm {
			order[i], _ = axisIndex(a, rank)
		}
		return one(x.transpose(in[0], order))
	}, nil
}

// transpose puts axis order[i] of v at i.
func (x *exec[T]) transpose(v *Tensor[T], order []int) (*Tensor[T], error) {
	strides := stridesOf(v.Shape)
	w := walk{shape: make([]int, len(order)), strides: make([]int, len(order))}
	for i, a := range order {
		w.shape[i], w.strides[i] = v.Shape[a], strides[a]
	}
	return x.rearranged(v, w.shape, w)
}
