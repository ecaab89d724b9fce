package verify

// https://onnx.ai/onnx/operators/onnx__AveragePool.html
// https://onnx.ai/onnx/operators/onnx__LpPool.html
func init() {
	register(
		operator{name: "AveragePool", defaults: poolDefaults(nil)},
		operator{name: "LpPool", defaults: poolDefaults(spelling{"p": "2"})},
	)
}

// poolDefaults are those that poolings have in common, and some more.
func poolDefaults(more spelling) func(int64) spelling {
	return always(merged(spelling{"ceil_mode": "0", "auto_pad": `"NOTSET"`, "count_include_pad": "0", "storage_order": "0"}, more))
}
