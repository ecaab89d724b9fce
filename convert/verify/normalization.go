package verify

import "efcn/onnxio"

// Normalizations by statistics of each sample.
func init() {
	defaults := always(spelling{"epsilon": "1e-05", "stash_type": "1"})
	register(
		operator{name: "InstanceNormalization", defaults: defaults},
		operator{name: "GroupNormalization", defaults: defaults},
		operator{name: "LayerNormalization", defaults: defaults, axis: always[int64](-1)},
		operator{name: "RMSNormalization", defaults: defaults, axis: always[int64](-1)},
		operator{name: "LpNormalization", defaults: always(spelling{"p": "2"}), axis: always[int64](-1)},
		operator{name: "LRN", defaults: always(spelling{
			"alpha": attributeText(onnxio.FloatAttr("alpha", 1e-4)), "beta": "0.75", "bias": "1",
		})},
	)
}
