package verify

import (
	"efcn/internal/engine"
	"efcn/onnxio"
)

// https://onnx.ai/onnx/operators/onnx__ConvTranspose.html
func init() {
	register(operator{
		name: "ConvTranspose", weighted: true,
		defaults: always(spelling{"group": "1", "auto_pad": `"NOTSET"`}),
		terms: func(_ *onnxio.Node, in []*engine.Tensor[float64], _ *engine.Tensor[float64]) (int, error) {
			return in[1].Shape[0] * product(in[1].Shape[2:]), nil
		},
	})
}
