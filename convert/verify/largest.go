package verify

// The largest and the smallest of several values, element by element.
// https://onnx.ai/onnx/operators/onnx__Max.html
func init() {
	register(
		operator{name: "Max", elementwise: true, integers: anyPassedOn, moves: &movement{data: anyInput}},
		operator{name: "Min", elementwise: true, integers: anyPassedOn, moves: &movement{data: anyInput, as: "Max"}},
	)
}
