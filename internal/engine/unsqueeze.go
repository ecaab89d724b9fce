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

func unsqueeze[T kernel.Float](n *node) (compute[T], error) { return reshapedBy[T](n, unsqueezed) }

func unsqueezed(shape []int, axes []int64, given bool) ([]int, error) {
	if !given {
		return nil, errors.New("axes are missing")
	}
	insert, err := axisSet(axes, len(shape)+len(axes))
	if err != nil {
		return nil, err
	}
	out := make([]int, 0, len(insert))
	for _, inserted := range insert {
		if inserted {
			out = append(out, 1)
			continue
		}
		out = append(out, shape[0])
		shape = shape[1:]
	}
	return out, nil
}
