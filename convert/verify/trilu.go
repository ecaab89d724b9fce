package verify

// https://onnx.ai/onnx/operators/onnx__Trilu.html
func init() {
	register(operator{name: "Trilu", defaults: always(spelling{"upper": "1"})})
}
