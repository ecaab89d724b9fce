package convert

import (
	"efcn/onnxio"
)

func init() {
	for _, name := range []string{
		"LayerNormalization", "RMSNormalization", "GroupNormalization",
		"InstanceNormalization", "MeanVarianceNormalization", "LpNormalization", "LRN",
	} {
		register(name, operator{
			becomes: "itself, on tensors: it divides by what it measures of its input",
			plan: func(*planner, *onnxio.Node) ([]*piece, error) {
				return nil, keep("it divides by what it measures of its input, which is not linear")
			},
		})
	}
}
