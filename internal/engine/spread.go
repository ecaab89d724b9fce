package engine

import "efcn/onnxio"

// Spread (onnxio.Spread) is about gradients; forward it is Identity.
func init() {
	register(operator{name: "Spread", domain: onnxio.RanksDomain, inputs: "f"}, identity[float32], identity[float64])
}
