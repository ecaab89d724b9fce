package onnxio

import (
	"slices"
	"strings"
	"testing"
)

// branching is a graph of an If, whose branch reads a from outside, with a node
// that nothing needs.
func branching() *Graph {
	node := func(op, inputs, outputs string, attributes ...*Attribute) *Node {
		return &Node{
			OpType: op, Inputs: strings.Fields(inputs), Outputs: strings.Fields(outputs),
			Attributes: attributes,
		}
	}
	branch := &Graph{
		Name:    "then",
		Nodes:   []*Node{node("Add", "a k", "t")},
		Outputs: []*ValueInfo{{Name: "t"}},
	}
	return &Graph{
		Name:   "g",
		Inputs: []*ValueInfo{{Name: "x"}, {Name: "default"}, {Name: "unread"}},
		Nodes: []*Node{
			node("Relu", "x", "a"),
			node("Mul", "x x", "b"),
			node("If", "cond", "c", &Attribute{Name: "then_branch", Type: AttrGraph, G: branch}),
			node("Sub", "b dead", "nobody"),
			node("Split", "c", "y z"),
		},
		Outputs:    []*ValueInfo{{Name: "y"}, {Name: "b"}},
		ValueInfos: []*ValueInfo{{Name: "a"}, {Name: "nobody"}, {Name: "z"}, {Name: "k"}},
		Initializers: []*Tensor{
			NewTensor("k", nil, []float32{1}), NewTensor("cond", nil, []bool{true}),
			NewTensor("dead", nil, []float32{1}), NewTensor("default", nil, []float32{1}),
		},
		SparseInitializers: []*SparseTensor{{
			Values:  NewTensor("sparse", []int64{0}, []float32{}),
			Indices: NewTensor("", []int64{0}, []int64{}),
		}},
	}
}

func ops(nodes []*Node) string {
	names := make([]string, len(nodes))
	for i, n := range nodes {
		names[i] = n.OpType
	}
	return strings.Join(names, " ")
}

func TestLinks(t *testing.T) {
	l := branching().Links()
	for _, c := range []struct {
		value, producer, readers, sole string
		uses                           int
		output                         bool
	}{
		{"x", "", "Relu Mul", "", 3, false},
		{"a", "Relu", "If", "If", 1, false}, // by the branch
		{"b", "Mul", "Sub", "", 2, true},
		{"c", "If", "Split", "Split", 1, false},
		{"y", "Split", "", "", 1, true},
		{"z", "Split", "", "", 0, false},
		{"unread", "", "", "", 0, false},
		{"", "", "", "", 0, false},
	} {
		var producer, sole string
		if n := l.Producer(c.value); n != nil {
			producer = n.OpType
		}
		if n := l.SoleReader(c.value); n != nil {
			sole = n.OpType
		}
		readers := ops(l.Readers(c.value))
		if producer != c.producer || readers != c.readers || sole != c.sole || l.Uses(c.value) != c.uses ||
			l.IsOutput(c.value) != c.output {
			t.Errorf("%q: made by %q, read by %q, solely by %q, %d times, output %t; want %+v",
				c.value, producer, readers, sole, l.Uses(c.value), l.IsOutput(c.value), c)
		}
	}
	// A node that reads a value twice is one reader of it.
	if n := NewLinks([]*Node{{OpType: "Add", Inputs: []string{"v", "v"}}}); n.SoleReader("v") == nil ||
		n.Uses("v") != 2 {
		t.Error("Add(v, v) is not the sole reader of v")
	}
}

func TestAncestors(t *testing.T) {
	g := branching()
	for values, want := range map[string]string{
		"y": "Relu If Split", "b": "Mul", "c b": "Relu Mul If", "x": "", "": "", "nobody": "Mul Sub",
	} {
		if got := ops(g.Ancestors(strings.Split(values, " ")...)); got != want {
			t.Errorf("%s depends on %s; want %s", values, got, want)
		}
	}
}

func TestPrune(t *testing.T) {
	g := branching()
	m := &Model{Graph: g}
	c := m.Clone()
	c.Graph.Prune()
	names := func(g *Graph) string {
		var list []string
		for _, v := range slices.Concat(g.Inputs, g.Outputs, g.ValueInfos) {
			list = append(list, v.Name)
		}
		for _, t := range g.Initializers {
			list = append(list, t.Name)
		}
		for _, s := range g.SparseInitializers {
			list = append(list, s.Values.Name)
		}
		return strings.Join(list, " ")
	}
	const all = "x default unread y b a nobody z k k cond dead default sparse"
	const want = "x default unread y b a z k k cond default"
	if got := names(c.Graph); got != want || ops(c.Graph.Nodes) != "Relu Mul If Split" {
		t.Errorf("%s of %s; want %s", got, ops(c.Graph.Nodes), want)
	}
	if got := names(g); got != all || len(g.Nodes) != 5 {
		t.Errorf("the graph that the pruned one was cloned from changed: %s", got)
	}
	before := names(c.Graph)
	if c.Graph.Prune(); names(c.Graph) != before {
		t.Errorf("a second time: %s", names(c.Graph))
	}
}

func TestNames(t *testing.T) {
	n := branching().Names()
	for _, c := range [][2]string{
		{"new", "new"}, {"new", "new_2"}, {"new", "new_3"}, // its own
		{"x", "x_2"}, {"y", "y_2"}, {"k", "k_2"}, {"sparse", "sparse_2"}, {
			"t",
			"t_2",
		}, // of the graph and the one inside it
		{"new_2", "new_2_2"},
	} {
		if got := n.Free(c[0]); got != c[1] {
			t.Errorf("%s: got %s, want %s", c[0], got, c[1])
		}
	}
	var none Names
	none.Take("a", "b")
	if a, c := none.Free("a"), none.Free("c"); a != "a_2" || c != "c" {
		t.Errorf("got %s and %s", a, c)
	}
}

func TestShapeString(t *testing.T) {
	for want, s := range map[string]Shape{
		"[]": {}, "[batch 3 ? 0]": {Symbol("batch"), Fixed(3), Symbol(""), Fixed(0)},
	} {
		if s.String() != want {
			t.Errorf("got %s, want %s", s, want)
		}
	}
}
