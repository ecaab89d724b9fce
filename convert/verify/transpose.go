package verify

// https://onnx.ai/onnx/operators/onnx__Transpose.html
func init() {
	register(operator{name: "Transpose", moves: &movement{}})
}
