package verify

// https://onnx.ai/onnx/operators/onnx__Gemm.html
func init() {
	register(operator{name: "Gemm", bias: 2, defaults: always(spelling{"alpha": "1", "beta": "1", "transA": "0", "transB": "0"})})
}
