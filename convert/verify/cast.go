package verify

// https://onnx.ai/onnx/operators/onnx__Cast.html
// https://onnx.ai/onnx/operators/onnx__CastLike.html
func init() {
	register(
		operator{name: "Cast", elementwise: true, defaults: always(spelling{"saturate": "1"})},
		operator{name: "CastLike"},
	)
}
