package verify

import (
	"efcn/internal/engine"
	"efcn/onnxio"
)

// https://onnx.ai/onnx/operators/onnx__AveragePool.html
// https://onnx.ai/onnx/operators/onnx__GlobalAveragePool.html
// https://onnx.ai/onnx/operators/onnx__LpPool.html
func init() {
	register(
		operator{name: "AveragePool", terms: kernelSize, defaults: poolDefaults(nil)},
		operator{name: "GlobalAveragePool", terms: inputsAnOutput},
		operator{name: "LpPool", defaults: poolDefaults(spelling{"p": "2"})},
	)
}

// poolDefaults are those that poolings have in common, and some more.
func poolDefaults(more spelling) func(int64) spelling {
	return always(merged(spelling{"ceil_mode": "0", "auto_pad": `"NOTSET"`, "count_include_pad": "0", "storage_order": "0"}, more))
}

// kernelSize is how many inputs a window sees.
func kernelSize(node *onnxio.Node, _ []*engine.Tensor[float64], _ *engine.Tensor[float64]) (int, error) {
	kernel, err := node.Ints("kernel_shape")
	n := 1
	for _, k := range kernel {
		n *= int(k)
	}
	return n, err
}
