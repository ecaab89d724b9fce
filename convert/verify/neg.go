package verify

// https://onnx.ai/onnx/operators/onnx__Neg.html
func init() {
	register(operator{name: "Neg", elementwise: true})
}
