package verify

import (
	"efcn/internal/engine"
	"efcn/onnxio"
)

// https://onnx.ai/onnx/operators/onnx__Conv.html
func init() {
	register(operator{
		name: "Conv", bias: 2, weighted: true,
		defaults: always(spelling{"group": "1", "auto_pad": `"NOTSET"`}),
		terms: func(_ *onnxio.Node, in []*engine.Tensor[float64], _ *engine.Tensor[float64]) (int, error) {
			return product(in[1].Shape[1:]), nil
		},
	})
}
