package verify

// https://onnx.ai/onnx/operators/onnx__Mod.html
func init() {
	register(operator{name: "Mod", elementwise: true, defaults: always(spelling{"fmod": "0"})})
}
