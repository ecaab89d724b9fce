package engine

import (
	"errors"
	"slices"

	"efcn/internal/kernel"
)

// OneHot (https://onnx.ai/onnx/operators/onnx__OneHot.html): a new axis of size
// depth, with the on value at each index; an index outside [-depth, depth) has
// none.
func init() {
	register(operator{name: "OneHot", inputs: "nnv"}, oneHot[float32], oneHot[float64])
}

func oneHot[T kernel.Float](n *node) (compute[T], error) {
	axis := n.int("axis", -1)
	return func(x *exec[T], in []*Tensor[T]) ([]*Tensor[T], error) {
		index, depth, values := in[0], in[1], in[2]
		if depth.Len() != 1 || values.Len() != 2 {
			return nil, errors.New("want one depth and two values")
		}
		d := int64(0)
		if depth.Type.IsFloat() {
			d = int64(depth.F[0])
		} else {
			d = depth.I[0]
		}
		size, err := toDims([]int64{d})
		if err != nil {
			return nil, err
		}
		a, err := axisIndex(axis, len(index.Shape)+1)
		if err != nil {
			return nil, err
		}
		y, err := x.alloc(values.Type, slices.Insert(slices.Clone(index.Shape), a, size[0]))
		if err != nil {
			return nil, err
		}
		at := index.I
		if index.Type.IsFloat() {
			at = make([]int64, len(index.F))
			castToInt(at, index.F, index.Type)
		}
		inner := product(index.Shape[a:])
		if values.Type.IsFloat() {
			setHot(y.F, at, d, inner, values.F[0], values.F[1])
		} else {
			setHot(y.I, at, d, inner, values.I[0], values.I[1])
		}
		return []*Tensor[T]{y}, nil
	}, nil
}

func setHot[E any](dst []E, at []int64, depth int64, inner int, off, on E) {
	for i := range dst {
		dst[i] = off
	}
	for k, i := range at {
		if i < 0 {
			i += depth
		}
		if i >= 0 && i < depth {
			dst[(k/inner*int(depth)+int(i))*inner+k%inner] = on
		}
	}
}
