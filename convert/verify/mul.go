package verify

// https://onnx.ai/onnx/operators/onnx__Mul.html
func init() {
	register(operator{name: "Mul", elementwise: true})
}
