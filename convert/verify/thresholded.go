package verify

// https://onnx.ai/onnx/operators/onnx__ThresholdedRelu.html
// https://onnx.ai/onnx/operators/onnx__Shrink.html
func init() {
	register(
		operator{name: "ThresholdedRelu", elementwise: true, defaults: always(spelling{"alpha": "1"})},
		operator{name: "Shrink", elementwise: true},
	)
}
