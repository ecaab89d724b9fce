package verify

import (
	"efcn/internal/engine"
	"efcn/onnxio"
)

// https://onnx.ai/onnx/operators/onnx__Neg.html
func init() {
	register(operator{
		name: "Neg", elementwise: true, lipschitz: slope(1), exact: true, anyEngine: true,
		magnitudes: func(_ *bounds, _ *onnxio.Node, x *engine.Tensor[float64]) (*engine.Tensor[float64], error) {
			return x, nil
		},
	})
}
