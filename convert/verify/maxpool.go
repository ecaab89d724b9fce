package verify

// https://onnx.ai/onnx/operators/onnx__MaxPool.html
// https://onnx.ai/onnx/operators/onnx__GlobalMaxPool.html
func init() {
	register(
		operator{
			name: "MaxPool", tie: amongNeighbours, defaults: poolDefaults(nil),
			moves: &movement{values: true, places: true},
		},
		operator{name: "GlobalMaxPool", moves: &movement{}},
	)
}
