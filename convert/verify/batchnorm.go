package verify

// https://onnx.ai/onnx/operators/onnx__BatchNormalization.html
func init() {
	register(operator{
		name:     "BatchNormalization",
		defaults: always(spelling{"epsilon": "1e-05", "momentum": "0.9", "training_mode": "0", "spatial": "1"}),
	})
}
