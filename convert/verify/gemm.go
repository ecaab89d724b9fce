package verify

import (
	"efcn/internal/engine"
	"efcn/onnxio"
)

// https://onnx.ai/onnx/operators/onnx__Gemm.html
func init() {
	register(operator{
		name: "Gemm", bias: 2, weighted: true, factors: []string{"alpha", "beta"}, terms: gemmTerms,
		defaults: always(spelling{"alpha": "1", "beta": "1", "transA": "0", "transB": "0"}),
	})
}

func gemmTerms(node *onnxio.Node, in []*engine.Tensor[float64], _ *engine.Tensor[float64]) (int, error) {
	transA, err := node.Int("transA", 0)
	if transA != 0 {
		return in[0].Shape[0], err
	}
	return in[0].Shape[1], err
}
