package onnxio

import (
	"strings"
	"testing"
)

// listed writes nodes as Op inputs->outputs.
func listed(nodes []*Node) string {
	list := make([]string, len(nodes))
	for i, n := range nodes {
		list[i] = n.OpType + " " + strings.Join(n.Inputs, ",") + "->" + strings.Join(n.Outputs, ",")
	}
	return strings.Join(list, "; ")
}

func TestInline(t *testing.T) {
	scaled := &Function{
		Name: "Scaled", Domain: "local", Inputs: []string{"v", "bias"}, Outputs: []string{"out"},
		Attributes: []string{"slope"},
		Nodes: []*Node{
			{
				OpType: "LeakyRelu", Inputs: []string{"v"}, Outputs: []string{"t"},
				Attributes: []*Attribute{{Name: "alpha", RefName: "slope", Type: AttrFloat}},
			},
			{OpType: "Add", Inputs: []string{"t", "bias"}, Outputs: []string{"out"}},
		},
		Opsets: []Opset{{Version: 17}},
	}
	twice := &Function{
		Name: "Twice", Domain: "local", Inputs: []string{"v", "b"}, Outputs: []string{"w"},
		Nodes: []*Node{
			{
				OpType: "Scaled", Domain: "local", Name: "first", Inputs: []string{"v", "b"}, Outputs: []string{"t"},
				Attributes: []*Attribute{FloatAttr("slope", 0.5)},
			},
			{OpType: "Scaled", Domain: "local", Inputs: []string{"t", "b"}, Outputs: []string{"w"}},
		},
		Opsets: []Opset{{Version: 17}, {Domain: "local", Version: 1}},
	}
	call := &Node{OpType: "Twice", Domain: "local", Name: "call", Inputs: []string{"x", "b"}, Outputs: []string{"y"}}
	m := &Model{
		Opsets: []Opset{{Version: 17}, {Domain: "local", Version: 1}},
		Graph: &Graph{
			Nodes:  []*Node{call},
			Inputs: []*ValueInfo{{Name: "x"}}, Outputs: []*ValueInfo{{Name: "y"}},
			Initializers: []*Tensor{NewTensor("b", []int64{1}, []float32{1})},
		},
		Functions: []*Function{scaled, twice},
	}
	got, err := m.Inline()
	if err != nil {
		t.Fatal(err)
	}
	const want = "LeakyRelu x->call/first/t; Add call/first/t,b->call/t; LeakyRelu call/t->y/t; Add y/t,b->y"
	if s := listed(got.Graph.Nodes); s != want || len(got.Functions) > 0 {
		t.Errorf("got  %s\nwant %s", s, want)
	}
	if a, _ := got.Graph.Nodes[0].Float("alpha", 0.01); a != 0.5 {
		t.Errorf("the first slope is %v", a)
	}
	if got.Graph.Nodes[2].Attr("alpha") != nil {
		t.Error("a parameter that the call leaves out became an attribute")
	}
	if len(m.Graph.Nodes) != 1 || len(m.Functions) != 2 {
		t.Error("the model itself changed")
	}

	// Two calls of one label make values of two names.
	m.Graph.Nodes = []*Node{call, {
		OpType: "Twice", Domain: "local", Name: "call", Inputs: []string{"y", "b"},
		Outputs: []string{"z"},
	}}
	if got, err = m.Inline(); err != nil {
		t.Fatal(err)
	}
	if s := got.Graph.Nodes[4].Outputs[0]; s != "call/first/t_2" {
		t.Errorf("the second call makes %s", s)
	}
	m.Graph.Nodes = []*Node{call}

	twice.Nodes[0].OpType = "Twice"
	if _, err := m.Inline(); err == nil ||
		!strings.Contains(err.Error(), "functions call each other more than 64 deep") {
		t.Errorf("recursion: got %v", err)
	}
	twice.Nodes[0].OpType = "Scaled"
	scaled.Opsets[0].Version = 13
	if _, err := m.Inline(); err == nil ||
		!strings.Contains(err.Error(), `opset 13 of domain "" differs from the model's 17`) {
		t.Errorf("another opset: got %v", err)
	}
}

// TestRenamed: a graph inside a node reads values under their new names, and keeps
// its own.
func TestRenamed(t *testing.T) {
	branch := &Graph{
		Nodes:   []*Node{{OpType: "Add", Inputs: []string{"a", "k"}, Outputs: []string{"t"}}},
		Outputs: []*ValueInfo{{Name: "t"}},
	}
	n := &Node{
		OpType: "If", Inputs: []string{"c"}, Outputs: []string{"y"},
		Attributes: []*Attribute{{Name: "then_branch", Type: AttrGraph, G: branch}},
	}
	r := n.Renamed(map[string]string{"a": "b", "y": "z", "c": "d"})
	inner := r.Attr("then_branch").G
	if s := listed([]*Node{r}) + "; " + listed(inner.Nodes); s != "If d->z; Add b,k->t" ||
		inner.Outputs[0].Name != "t" {
		t.Errorf("got %s", s)
	}
	if s := listed([]*Node{n}) + "; " + listed(branch.Nodes); s != "If c->y; Add a,k->t" {
		t.Errorf("the node itself became %s", s)
	}
}
