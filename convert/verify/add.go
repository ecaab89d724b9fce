package verify

// Sums of values.
// https://onnx.ai/onnx/operators/onnx__Add.html
func init() {
	for _, name := range []string{"Add", "Sub", "Sum", "Mean"} {
		register(operator{name: name, elementwise: true})
	}
}
