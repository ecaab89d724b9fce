package verify

// https://onnx.ai/onnx/operators/onnx__Shape.html
// https://onnx.ai/onnx/operators/onnx__Size.html
func init() {
	register(operator{name: "Shape", ofShape: true}, operator{name: "Size", ofShape: true})
}
