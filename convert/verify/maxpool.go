package verify

// https://onnx.ai/onnx/operators/onnx__MaxPool.html
func init() {
	register(operator{name: "MaxPool", tie: amongNeighbours, defaults: poolDefaults(nil)})
}
