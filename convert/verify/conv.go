package verify

// https://onnx.ai/onnx/operators/onnx__Conv.html
func init() {
	register(operator{name: "Conv", bias: 2, defaults: always(spelling{"group": "1", "auto_pad": `"NOTSET"`})})
}
