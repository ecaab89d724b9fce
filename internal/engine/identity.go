package engine

import (
	"efcn/internal/kernel"
)

// Identity (https://onnx.ai/onnx/operators/onnx__Identity.html) of a tensor.
func init() {
	register(operator{name: "Identity", inputs: "v"}, identity[float32], identity[float64])
}

func identity[T kernel.Float](n *node) (compute[T], error) {
	n.eitherLayout = true
	return func(_ *exec[T], in []*Tensor[T]) ([]*Tensor[T], error) { return in[:1], nil }, nil
}
