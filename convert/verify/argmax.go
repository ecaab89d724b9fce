package verify

import (
	"math"

	"efcn/onnxio"
)

// https://onnx.ai/onnx/operators/onnx__ArgMax.html
// https://onnx.ai/onnx/operators/onnx__ArgMin.html
func init() {
	for _, name := range []string{"ArgMax", "ArgMin"} {
		register(operator{
			name: name, axis: always[int64](0), steps: step(argumentBound(name == "ArgMax")),
			defaults: always(spelling{"keepdims": "1", "select_last_index": "0"}),
		})
	}
}

// argumentBound bounds the index of ArgMax or ArgMin: how far the candidates are that lie
// within their bounds of the largest.
func argumentBound(largest bool) func(*bounds, *onnxio.Node, [][]float64) ([]float64, []int, error) {
	return func(b *bounds, node *onnxio.Node, ds [][]float64) ([]float64, []int, error) {
		x, axis, err := b.ranked(node)
		if err != nil {
			return nil, nil, err
		}
		y := b.values.header(node.Output(0))
		out := make([]float64, product(y.Shape))
		rankings(numbers(x), ds[0], linesOf(x.Shape, axis), largest, func(line int, r ranking) {
			for _, j := range r.candidates(0) {
				out[line] = math.Max(out[line], math.Abs(float64(j)-float64(y.I[line])))
			}
		})
		return out, nil, nil
	}
}
