package verify

// https://onnx.ai/onnx/operators/onnx__TopK.html
func init() {
	register(operator{
		name: "TopK", axis: always[int64](-1), lists: map[string]int{"k": 1},
		defaults: always(spelling{"largest": "1", "sorted": "1"}),
	})
}
