package verify

import (
	"math"

	"efcn/onnxio"
)

// https://onnx.ai/onnx/operators/onnx__NonZero.html
func init() {
	register(operator{name: "NonZero", steps: nonZeroBound})
}

// nonZeroBound bounds NonZero: where no element may be zero in one model alone the
// result is the same, else its very shape may differ.
func nonZeroBound(b *bounds, node *onnxio.Node, ds [][]float64) ([][]float64, error) {
	x, err := b.value(node.Input(0))
	if err != nil {
		return nil, err
	}
	for i, v := range numbers(x) {
		if ds[0][i] > 0 && !(math.Abs(v) > ds[0][i]) {
			b.loosen(node)
			return b.unknown(node), nil
		}
	}
	return nil, nil
}
