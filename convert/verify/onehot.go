package verify

// https://onnx.ai/onnx/operators/onnx__OneHot.html
func init() {
	register(operator{name: "OneHot", axis: always[int64](-1), axisOfOutput: true})
}
