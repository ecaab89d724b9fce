package verify

// Operators that repeat elements, or make some, in a shape that an input gives.
// https://onnx.ai/onnx/operators/onnx__Expand.html
// https://onnx.ai/onnx/operators/onnx__Tile.html
func init() {
	register(operator{name: "Expand", moves: &movement{}})
	register(operator{name: "Tile", moves: &movement{}, lists: map[string]int{"repeats": 1}})
}
