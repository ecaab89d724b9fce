package verify

import "efcn/onnxio"

// Scatter was renamed to ScatterElements in opset 11.
// https://onnx.ai/onnx/operators/onnx__ScatterElements.html
// https://onnx.ai/onnx/operators/onnx__ScatterND.html
func init() {
	reduction := always(spelling{"reduction": `"none"`})
	register(
		operator{name: "Scatter", axis: always[int64](0), integers: indicesAlongAxis, moves: written},
		operator{
			name: "ScatterElements", axis: always[int64](0), integers: indicesAlongAxis, moves: written,
			defaults: reduction,
		},
		operator{name: "ScatterND", integers: indexTuples, moves: written, defaults: reduction},
	)
}

// written writes updates, the third input, over data.
var written = &movement{
	when: func(node *onnxio.Node) bool {
		reduction, err := node.String("reduction", "none")
		return err == nil && reduction == "none"
	},
	data: func(i int) bool { return i == 2 }, sameShape: true,
}
