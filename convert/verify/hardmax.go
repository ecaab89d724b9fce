package verify

// https://onnx.ai/onnx/operators/onnx__Hardmax.html
func init() {
	register(operator{name: "Hardmax", axis: softmaxAxis})
}
