package engine

import (
	"slices"
	"testing"

	"efcn/onnxio"
)

// TestLacks: operators and attributes that the engine does not have; not a node
// whose subgraph reads what is around it.
func TestLacks(t *testing.T) {
	branch := func(name string) *onnxio.Graph {
		return &onnxio.Graph{
			Name: name, Outputs: []*onnxio.ValueInfo{{Name: name}},
			Nodes: []*onnxio.Node{{Name: name, OpType: "Relu", Inputs: []string{"a"}, Outputs: []string{name}}},
		}
	}
	m := &onnxio.Model{
		Opsets: []onnxio.Opset{{Version: 21}, {Domain: "com.microsoft", Version: 1}},
		Graph: &onnxio.Graph{Nodes: []*onnxio.Node{
			{Name: "relu", OpType: "Relu", Inputs: []string{"x"}, Outputs: []string{"a"}},
			{Name: "lstm", OpType: "LSTM", Inputs: []string{"a", "w", "r"}, Outputs: []string{"b"}},
			{
				Name: "fused", OpType: "FusedConv", Domain: "com.microsoft", Inputs: []string{"a", "w"},
				Outputs: []string{"c"},
			},
			{
				Name: "blocks", OpType: "QuantizeLinear", Inputs: []string{"a", "s"}, Outputs: []string{"d"},
				Attributes: []*onnxio.Attribute{onnxio.IntAttr("block_size", 2)},
			},
			{Name: "if", OpType: "If", Inputs: []string{"cond"}, Outputs: []string{"e"}, Attributes: []*onnxio.Attribute{
				{Name: "then_branch", Type: onnxio.AttrGraph, G: branch("t")}, {
					Name: "else_branch",
					Type: onnxio.AttrGraph, G: branch("f"),
				},
			}},
		}},
	}
	var names []string
	for _, n := range Lacks(m) {
		names = append(names, n.Name)
	}
	if want := []string{"lstm", "fused", "blocks"}; !slices.Equal(names, want) {
		t.Errorf("%v, want %v", names, want)
	}
}
