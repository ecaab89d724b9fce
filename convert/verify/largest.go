package verify

// The largest and the smallest of several values, element by element.
// https://onnx.ai/onnx/operators/onnx__Max.html
func init() {
	for _, name := range []string{"Max", "Min"} {
		register(operator{name: name, elementwise: true})
	}
}
