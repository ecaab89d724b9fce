package verify

// https://onnx.ai/onnx/operators/onnx__Slice.html
func init() {
	register(operator{name: "Slice", moves: &movement{}, lists: map[string]int{"starts": 1, "ends": 2, "axes": 3}})
}
