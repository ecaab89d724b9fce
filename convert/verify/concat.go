package verify

// https://onnx.ai/onnx/operators/onnx__Concat.html
func init() {
	register(operator{name: "Concat", axis: always[int64](1), moves: &movement{data: anyInput}})
}
