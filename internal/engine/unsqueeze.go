package engine

import (
	"errors"

	"efcn/internal/kernel"
)

// Unsqueeze (https://onnx.ai/onnx/operators/onnx__Unsqueeze.html) inserts axes of
// size 1, numbered as in the result; an attribute names them before version 13,
// an input since.
func init() {
	register(operator{name: "Unsqueeze", inputs: "vi"}, unsqueeze[float32], unsqueeze[float64])
}

func unsqueeze[T kernel.Float](n *node) (compute[T], error) {
	axesOf := axesSource[T](n, 13)
	return func(_ *exec[T], in []*Tensor[T]) ([]*Tensor[T], error) {
		v := in[0]
		axes, given, err := axesOf(in[1])
		if err != nil {
			return nil, err
		}
		if !given {
			return nil, errors.New("axes are missing")
		}
		insert, err := axisSet(axes, len(v.Shape)+len(axes))
		if err != nil {
			return nil, err
		}
		shape := make([]int, 0, len(insert))
		rest := v.Shape
		for _, inserted := range insert {
			if inserted {
				shape = append(shape, 1)
				continue
			}
			shape = append(shape, rest[0])
			rest = rest[1:]
		}
		return []*Tensor[T]{v.reshaped(shape)}, nil
	}, nil
}
