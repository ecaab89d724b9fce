package verify

// https://onnx.ai/onnx/operators/onnx__Softmax.html
// https://onnx.ai/onnx/operators/onnx__LogSoftmax.html
func init() {
	register(
		operator{name: "Softmax", axis: softmaxAxis},
		operator{name: "LogSoftmax", axis: softmaxAxis},
	)
}

// softmaxAxis: before opset 13 all axes from that one on are one.
func softmaxAxis(opset int64) int64 {
	if opset >= 13 {
		return -1
	}
	return 1
}
