package verify

import (
	"efcn/internal/engine"
	"efcn/onnxio"
)

// https://onnx.ai/onnx/operators/onnx__Neg.html
func init() {
	register(operator{
		name: "Neg", elementwise: true, lipschitz: slope(1), exact: true, anyEngine: true, integers: negIntegers,
		diagonal: func(*net, *onnxio.Node, int, []int) (*diagonal, error) {
			return &diagonal{scale: func(_ int, v float64) float64 { return -v }}, nil
		},
		magnitudes: func(_ *bounds, _ *onnxio.Node, x *engine.Tensor[float64]) (*engine.Tensor[float64], error) {
			return x, nil
		},
	})
}

func negIntegers(n *net, node *onnxio.Node, _, depth int) span {
	return n.taken(node.Output(0), depth+1).mapped(func(lo, hi int64) (int64, int64) { return -hi, -lo })
}
