package verify

// https://onnx.ai/onnx/operators/onnx__DepthToSpace.html
// https://onnx.ai/onnx/operators/onnx__SpaceToDepth.html
func init() {
	register(
		operator{name: "DepthToSpace", moves: &movement{}, defaults: always(spelling{"mode": `"DCR"`})},
		operator{name: "SpaceToDepth", moves: &movement{}},
	)
}
