package engine

import (
	"strings"
	"testing"

	"efcn/onnxio"
)

func constantNode(name string, t *onnxio.Tensor) *onnxio.Node {
	return op("Constant -> "+name, &onnxio.Attribute{Name: "value", Type: onnxio.AttrTensor, T: t})
}

// TestRefusedBranch: what is wrong inside a branch is said, and nothing of the
// attributes that were not read for it.
func TestRefusedBranch(t *testing.T) {
	n := op("If c -> y")
	bad := op("Relu x -> r")
	bad.OpType = "Scan"
	n.Attributes = []*onnxio.Attribute{
		{
			Name: "then_branch", Type: onnxio.AttrGraph,
			G: &onnxio.Graph{Nodes: []*onnxio.Node{op("Relu x -> r")}, Outputs: []*onnxio.ValueInfo{info("r")}},
		},
		{
			Name: "else_branch", Type: onnxio.AttrGraph,
			G: &onnxio.Graph{Nodes: []*onnxio.Node{bad}, Outputs: []*onnxio.ValueInfo{info("r")}},
		},
	}
	c := info("c")
	c.Type.Elem = onnxio.Bool
	m := model([]*onnxio.Node{n})
	m.Graph.Inputs = append(m.Graph.Inputs, c)
	_, err := New[float32](m)
	if err == nil || !strings.Contains(err.Error(), "the engine does not have this operator") ||
		strings.Contains(err.Error(), "then_branch") {
		t.Errorf("%v", err)
	}
}

func TestRunFunctions(t *testing.T) {
	scaled := &onnxio.Function{
		Name: "Scaled", Domain: "local", Inputs: []string{"v", "bias"}, Outputs: []string{"out"},
		Attributes: []string{"slope"},
		Nodes: []*onnxio.Node{
			op("LeakyRelu v -> t", &onnxio.Attribute{Name: "alpha", RefName: "slope", Type: onnxio.AttrFloat}),
			op("Add t bias -> out"),
		},
		Opsets: []onnxio.Opset{{Version: 17}},
	}
	twice := &onnxio.Function{
		Name: "Twice", Domain: "local", Inputs: []string{"v", "b"}, Outputs: []string{"w"},
		Nodes: []*onnxio.Node{
			{
				OpType: "Scaled", Domain: "local", Name: "first", Inputs: []string{"v", "b"}, Outputs: []string{"t"},
				Attributes: []*onnxio.Attribute{onnxio.FloatAttr("slope", 0.5)},
			},
			{OpType: "Scaled", Domain: "local", Inputs: []string{"t", "b"}, Outputs: []string{"w"}},
		},
		Opsets: []onnxio.Opset{{Version: 17}, {Domain: "local", Version: 1}},
	}
	call := &onnxio.Node{
		OpType: "Twice", Domain: "local", Name: "call", Inputs: []string{"x", "b"},
		Outputs: []string{"y"},
	}
	m := model([]*onnxio.Node{call}, onnxio.NewTensor("b", []int64{1}, []float32{1}))
	m.Opsets = append(m.Opsets, onnxio.Opset{Domain: "local", Version: 1})
	m.Functions = []*onnxio.Function{scaled, twice}

	e, err := New[float32](m)
	if err != nil {
		t.Fatal(err)
	}
	out, err := e.Run(t.Context(), feed(value([]int{1, 3}, -4, 0, 4)))
	if err != nil {
		t.Fatal(err)
	}
	if err := compare(out["y"], value([]int{1, 3}, 0.99, 2, 6), 1e-6, 0); err != nil {
		t.Error(err)
	}
}
