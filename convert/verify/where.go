package verify

// https://onnx.ai/onnx/operators/onnx__Where.html
func init() {
	register(operator{name: "Where", elementwise: true})
}
