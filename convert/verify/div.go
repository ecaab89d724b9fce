package verify

// https://onnx.ai/onnx/operators/onnx__Div.html
func init() {
	register(operator{name: "Div", elementwise: true})
}
