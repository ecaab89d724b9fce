package verify

// https://onnx.ai/onnx/operators/onnx__Split.html
// https://onnx.ai/onnx/operators/onnx__SplitToSequence.html
func init() {
	register(
		operator{name: "Split", moves: &movement{}, axis: always[int64](0), lists: map[string]int{"split": 1}},
		operator{name: "SplitToSequence", axis: always[int64](0)},
	)
}
