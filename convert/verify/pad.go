package verify

// https://onnx.ai/onnx/operators/onnx__Pad.html
func init() {
	register(operator{
		name: "Pad", lists: map[string]int{"pads": 1}, defaults: always(spelling{"mode": `"constant"`}),
		moves: &movement{fill: 2},
	})
}
