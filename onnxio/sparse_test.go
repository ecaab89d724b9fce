package onnxio

import (
	"slices"
	"testing"
)

func TestSetSparseValues(t *testing.T) {
	sparse := func(name string) *SparseTensor {
		return &SparseTensor{
			Dims: []int64{4}, Values: NewTensor(name, []int64{2}, []float32{1, 2}),
			Indices: NewTensor("", []int64{2}, []int64{0, 3}),
		}
	}
	constant := func(op string) *Node {
		return &Node{
			OpType: op, Outputs: []string{op},
			Attributes: []*Attribute{{Name: "sparse_value", Type: AttrSparseTensor, Sparse: sparse("")}},
		}
	}
	m := &Model{Graph: &Graph{
		SparseInitializers: []*SparseTensor{sparse("i")},
		Nodes:              []*Node{constant("Other"), constant("Constant")},
	}}
	c := m.Clone()
	values := func(m *Model, name string) []float32 {
		s := m.Graph.SparseConstants()[name]
		if s == nil {
			t.Fatalf("no sparse constant %q", name)
		}
		v, err := Floats[float32](s.Values)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for _, name := range []string{"i", "Constant"} {
		if !c.Graph.SetSparseValues(name, NewTensor("", nil, []float32{3, 4}).Data) {
			t.Errorf("%s is not found", name)
		}
		if old, now := values(m, name), values(c, name); !slices.Equal(old, []float32{1, 2}) ||
			!slices.Equal(now, []float32{3, 4}) {
			t.Errorf("%s: %v in the original, %v in the copy", name, old, now)
		}
	}
	if n := len(m.Graph.SparseConstants()); n != 2 || c.Graph.SetSparseValues("Other", nil) {
		t.Errorf("%d sparse constants, want 2", n)
	}
}
