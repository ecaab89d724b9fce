package engine

import (
	"fmt"
	"slices"

	"efcn/internal/kernel"
)

// Reshape (https://onnx.ai/onnx/operators/onnx__Reshape.html). 0 keeps the
// input's dimension unless allowzero is set, one -1 takes what is left.
func init() {
	register(operator{name: "Reshape", inputs: "vi"}, reshape[float32], reshape[float64])
}

func reshape[T kernel.Float](n *node) (compute[T], error) {
	allowZero := n.version >= 14 && n.flag("allowzero", false)
	return func(_ *exec[T], in []*Tensor[T]) ([]*Tensor[T], error) {
		v := in[0]
		want, err := intVector("shape", in[1])
		if err != nil {
			return nil, err
		}
		shape, err := reshapeTo(v.Shape, want, allowZero)
		if err != nil {
			return nil, err
		}
		return []*Tensor[T]{v.reshaped(shape)}, nil
	}, nil
}

func reshapeTo(from []int, want []int64, allowZero bool) ([]int, error) {
	free := slices.Index(want, -1)
	known := slices.Clone(want)
	for i, d := range want {
		switch {
		case d == 0 && !allowZero:
			if i >= len(from) {
				return nil, fmt.Errorf("shape %v: 0 at %d keeps a dimension that the input %v does not have", want, i,
					from)
			}
			known[i] = int64(from[i])
		case d == -1 && i == free:
			known[i] = 1
		}
	}
	shape, err := toDims(known)
	if err != nil {
		return nil, fmt.Errorf("shape %v: %w", want, err)
	}
	n, err := count(shape, maxElements)
	if err != nil {
		return nil, err
	}
	have := product(from)
	if free >= 0 {
		if n == 0 || have%n != 0 {
			return nil, fmt.Errorf("shape %v does not divide the %d elements of %v", want, have, from)
		}
		shape[free] = have / n
		return shape, nil
	}
	if n != have {
		return nil, fmt.Errorf("shape %v does not have the %d elements of %v", want, have, from)
	}
	return shape, nil
}
