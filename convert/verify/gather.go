package verify

// https://onnx.ai/onnx/operators/onnx__Gather.html
// https://onnx.ai/onnx/operators/onnx__GatherElements.html
// https://onnx.ai/onnx/operators/onnx__GatherND.html
func init() {
	register(
		operator{name: "Gather", axis: always[int64](0)},
		operator{name: "GatherElements", axis: always[int64](0)},
		operator{name: "GatherND", defaults: always(spelling{"batch_dims": "0"})},
	)
}
