package verify_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"efcn/convert/verify"
	"efcn/onnxio"
)

// renamed returns m with other names for everything: values, constants, inputs,
// outputs and nodes.
func renamed(m *onnxio.Model) *onnxio.Model {
	m = m.Clone()
	names := make(map[string]string)
	other := func(name string) string {
		if name == "" {
			return ""
		}
		if names[name] == "" {
			names[name] = fmt.Sprintf("t%d", len(names))
		}
		return names[name]
	}
	g := m.Graph
	for i, v := range g.Inputs {
		w := *v
		w.Name, g.Inputs[i] = other(v.Name), &w
	}
	for i, v := range g.Outputs {
		w := *v
		w.Name, g.Outputs[i] = other(v.Name), &w
	}
	for i, t := range g.Initializers {
		u := *t
		u.Name, g.Initializers[i] = other(t.Name), &u
	}
	for i, n := range g.Nodes {
		n.Name = fmt.Sprintf("n%d", i)
		for k := range n.Inputs {
			n.Inputs[k] = other(n.Inputs[k])
		}
		for k := range n.Outputs {
			n.Outputs[k] = other(n.Outputs[k])
		}
	}
	g.ValueInfos = nil
	return m
}

// after puts a node behind the value that another node computes.
func after(t *testing.T, m *onnxio.Model, node string, more *onnxio.Node) {
	t.Helper()
	i := slices.IndexFunc(m.Graph.Nodes, func(n *onnxio.Node) bool { return n.Name == node })
	if i < 0 {
		t.Fatalf("no node %q", node)
	}
	n := m.Graph.Nodes[i]
	more.Outputs = slices.Clone(n.Outputs)
	n.Outputs = []string{n.Outputs[0] + "/before"}
	more.Inputs = []string{n.Outputs[0]}
	m.Graph.Nodes = slices.Insert(m.Graph.Nodes, i+1, more)
}

// TestEditedCopies: of a copy in which every name is another and one thing was
// changed, that thing is named as the place where the two part.
func TestEditedCopies(t *testing.T) {
	weight := func(m *onnxio.Model, node string, t *testing.T) string { return nodeOf(t, m, node).Input(1) }
	tests := []struct {
		model, name string
		edit        func(t *testing.T, m *onnxio.Model)
		nodes       string // of the original, between the values that agree and the first that do not
		ops         string // of the copy
		after       string // the last values that agree
		says        string // one of the differences
		terms       bool   // a row of terms is shown
	}{
		{
			model: "lenet-torchscript", name: "a weight by a hundredth", nodes: "/conv1/Conv", ops: "Conv", after: "input", terms: true,
			edit: func(t *testing.T, m *onnxio.Model) {
				edit(t, m, weight(m, "/conv1/Conv", t), func(v []float32, _ []int64) { v[60] *= 1.01 })
			},
			says: "1 of 200 elements differ, the first at [2 0 2 0]",
		},
		{
			model: "lenet-torchscript", name: "a weight of the second layer by a hundredth", nodes: "/conv2/Conv", ops: "Conv", terms: true,
			edit: func(t *testing.T, m *onnxio.Model) {
				edit(t, m, weight(m, "/conv2/Conv", t), func(v []float32, _ []int64) { v[100] *= 1.01 })
			},
			says: "1 of 1152 elements differ",
		},
		{
			model: "lenet-torchscript", name: "a weight of the last layer by a hundredth", nodes: "/fc/Gemm", ops: "Gemm", terms: true,
			edit: func(t *testing.T, m *onnxio.Model) {
				edit(t, m, weight(m, "/fc/Gemm", t), func(v []float32, _ []int64) { v[1000] *= 1.01 })
			},
			says: "1 of 5760 elements differ",
		},
		{
			model: "lenet-torchscript", name: "a Relu that leaks", nodes: "/Relu", ops: "LeakyRelu",
			edit: func(t *testing.T, m *onnxio.Model) { nodeOf(t, m, "/Relu").OpType = "LeakyRelu" },
			says: "operator Relu and LeakyRelu",
		},
		{
			model: "lenet-torchscript", name: "a Relu that is cut off at 6", nodes: "/Relu_1", ops: "Clip",
			edit: func(t *testing.T, m *onnxio.Model) {
				m.Graph.Initializers = append(m.Graph.Initializers, onnxio.NewTensor("zero", nil, []float32{0}), onnxio.NewTensor("six", nil, []float32{6}))
				n := nodeOf(t, m, "/Relu_1")
				n.OpType, n.Inputs = "Clip", []string{n.Input(0), "zero", "six"}
			},
			says: "operator Relu and Clip",
		},
		{
			model: "lenet-torchscript", name: "pads moved", nodes: "/conv2/Conv", ops: "Conv", terms: true,
			edit: func(t *testing.T, m *onnxio.Model) {
				set(nodeOf(t, m, "/conv2/Conv"), onnxio.IntsAttr("pads", 0, 1, 2, 1))
			},
			says: "pads of \"/conv2/Conv\" and \"n",
		},
		{
			model: "lenet-torchscript", name: "an output transposed", nodes: "/bn2/BatchNormalization", ops: "Transpose BatchNormalization", after: "/conv2/Conv_output_0",
			edit: func(t *testing.T, m *onnxio.Model) {
				after(t, m, "/conv2/Conv", &onnxio.Node{OpType: "Transpose", Attributes: []*onnxio.Attribute{onnxio.IntsAttr("perm", 0, 1, 3, 2)}})
			},
		},
		{
			model: "lenet-torchscript", name: "a bias dropped", nodes: "/conv1/Conv", ops: "Conv", after: "input", terms: true,
			edit: func(t *testing.T, m *onnxio.Model) {
				n := nodeOf(t, m, "/conv1/Conv")
				n.Inputs = n.Inputs[:2]
			},
			says: "input 2 of \"/conv1/Conv\"",
		},
		{
			model: "lenet-torchscript", name: "an epsilon", nodes: "/bn2/BatchNormalization", ops: "BatchNormalization", terms: true,
			edit: func(t *testing.T, m *onnxio.Model) {
				set(nodeOf(t, m, "/bn2/BatchNormalization"), onnxio.FloatAttr("epsilon", 1e-3))
			},
			says: "epsilon of",
		},
		{
			model: "resnet-torchscript", name: "an epsilon", nodes: "/shortcut_bn/BatchNormalization", ops: "BatchNormalization", terms: true,
			edit: func(t *testing.T, m *onnxio.Model) {
				set(nodeOf(t, m, "/shortcut_bn/BatchNormalization"), onnxio.FloatAttr("epsilon", 1e-3))
			},
			says: "epsilon of",
		},
		{
			model: "resnet-torchscript", name: "a weight by a hundredth", nodes: "/dilated/Conv", ops: "Conv", terms: true,
			edit: func(t *testing.T, m *onnxio.Model) {
				edit(t, m, weight(m, "/dilated/Conv", t), func(v []float32, _ []int64) { v[3] *= 1.01 })
			},
			says: "elements differ, the first at",
		},
	}
	ran := 0
	for _, c := range tests {
		t.Run(c.model+" "+c.name, func(t *testing.T) {
			ran++
			a, b := readTrained(t, c.model), readTrained(t, c.model)
			c.edit(t, b)
			r, err := verify.Verify(context.Background(), a, renamed(b), verify.Options{Samples: 16})
			if err != nil {
				t.Fatal(err)
			}
			p := r.Parting
			if r.Equal() || p == nil {
				t.Fatalf("equal %t, %+v", r.Equal(), p)
			}
			var nodes, ops, last []string
			for _, n := range p.Nodes {
				nodes = append(nodes, n.Node)
			}
			for _, n := range p.OtherNodes {
				ops = append(ops, n.Op)
			}
			for _, v := range p.After {
				last = append(last, v.CNN)
			}
			said := slices.ContainsFunc(p.Differences, func(s string) bool { return strings.Contains(s, c.says) })
			if strings.Join(nodes, " ") != c.nodes || strings.Join(ops, " ") != c.ops || c.after != "" && strings.Join(last, " ") != c.after ||
				c.says != "" && !said || c.terms != (p.Row != nil) || p.Over == 0 || p.Max == 0 {
				t.Errorf("got %q and %q after %q, %q, terms %t", nodes, ops, last, p.Differences, p.Row != nil)
			}
			sumsUp(t, p)
			if t.Failed() || testing.Verbose() {
				_ = r.WriteText(os.Stdout)
			}
			if _, err := json.Marshal(r); err != nil {
				t.Error(err)
			}
		})
	}
	if ran != 11 {
		t.Errorf("%d edits ran, want 11", ran)
	}
}

// TestRenamed: a copy in which every name is another is equal, and all of its
// values are found.
func TestRenamed(t *testing.T) {
	for _, name := range trained(t) {
		m := readTrained(t, name)
		r, err := verify.Verify(context.Background(), m, renamed(m), verify.Options{Samples: 8})
		if err != nil || !r.Equal() {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if len(r.Values) < 6 || !strings.Contains(r.Checks[0].Summary, `matched by their order: "`) {
			t.Errorf("%s: %d values, %s", name, len(r.Values), r.Checks[0].Summary)
		}
		for _, v := range r.Values {
			if !v.Float64.Exact || !v.Float32.Exact {
				t.Errorf("%s: %q differs from its copy %q", name, v.Name, v.Other)
			}
		}
	}
}
