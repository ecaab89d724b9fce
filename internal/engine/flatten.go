package engine

import (
	"efcn/internal/kernel"
)

// Flatten (https://onnx.ai/onnx/operators/onnx__Flatten.html) to a matrix, the
// axes before axis against those from it on.
func init() {
	register(operator{name: "Flatten", inputs: "v"}, flatten[float32], flatten[float64])
}

func flatten[T kernel.Float](n *node) (compute[T], error) {
	axis := n.int("axis", 1)
	return func(_ *exec[T], in []*Tensor[T]) ([]*Tensor[T], error) {
		v := in[0]
		a := len(v.Shape)
		if axis != int64(a) {
			var err error
			if a, err = axisIndex(axis, len(v.Shape)); err != nil {
				return nil, err
			}
		}
		return []*Tensor[T]{v.reshaped([]int{product(v.Shape[:a]), product(v.Shape[a:])})}, nil
	}, nil
}
