package verify

import (
	"slices"
	"strings"

	"efcn/onnxio"
)

// https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md
func init() {
	register(operator{name: "com.microsoft.FusedConv", lacking: fusedConvBound})
}

// fusedConvBound is the bound of the Conv, which Relu, LeakyRelu and Clip do not enlarge.
func fusedConvBound(b *bounds, node *onnxio.Node, ds [][]float64) ([][]float64, error) {
	conv := plainConv(node)
	if conv == nil || b.net.constants[conv.Input(1)] == nil || b.net.constants[conv.Input(0)] != nil {
		return b.unknown(node), nil
	}
	s, err := b.linear(conv, ds)
	if err != nil {
		return nil, err
	}
	return [][]float64{b.linearBound(s)}, nil
}

// plainConv returns the Conv of a FusedConv whose activation takes numbers no further
// apart, or nil.
func plainConv(node *onnxio.Node) *onnxio.Node {
	if node.Input(3) != "" {
		return nil
	}
	activation, err := node.String("activation", "")
	if err != nil || !slices.Contains([]string{"", "Relu", "LeakyRelu", "Clip"}, activation) {
		return nil
	}
	params, err := node.Floats("activation_params")
	if err != nil || activation == "LeakyRelu" && (len(params) == 0 || !(params[0] >= -1 && params[0] <= 1)) {
		return nil
	}
	conv := *node
	conv.Domain, conv.OpType = "", "Conv"
	conv.Attributes = slices.DeleteFunc(slices.Clone(node.Attributes), func(a *onnxio.Attribute) bool {
		return strings.HasPrefix(a.Name, "activation")
	})
	return &conv
}
