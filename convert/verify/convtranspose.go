package verify

// https://onnx.ai/onnx/operators/onnx__ConvTranspose.html
func init() {
	register(operator{name: "ConvTranspose", defaults: always(spelling{"group": "1", "auto_pad": `"NOTSET"`})})
}
