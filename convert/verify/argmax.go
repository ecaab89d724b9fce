package verify

// https://onnx.ai/onnx/operators/onnx__ArgMax.html
// https://onnx.ai/onnx/operators/onnx__ArgMin.html
func init() {
	for _, name := range []string{"ArgMax", "ArgMin"} {
		register(operator{name: name, axis: always[int64](0), defaults: always(spelling{"keepdims": "1", "select_last_index": "0"})})
	}
}
