package verify

// Scatter was renamed to ScatterElements in opset 11.
// https://onnx.ai/onnx/operators/onnx__ScatterElements.html
// https://onnx.ai/onnx/operators/onnx__ScatterND.html
func init() {
	reduction := always(spelling{"reduction": `"none"`})
	register(
		operator{name: "Scatter", axis: always[int64](0)},
		operator{name: "ScatterElements", axis: always[int64](0), defaults: reduction},
		operator{name: "ScatterND", defaults: reduction},
	)
}
