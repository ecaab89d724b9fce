package verify

// https://onnx.ai/onnx/operators/onnx__CumSum.html
func init() {
	register(operator{name: "CumSum", defaults: always(spelling{"exclusive": "0", "reverse": "0"})})
}
