package verify_test

import (
	"context"
	"fmt"
	"testing"

	"efcn/convert"
	"efcn/convert/record"
	"efcn/convert/verify"
	"efcn/onnxio"
)

// mixer is a net of products of tensors with constants: behind, for all channels
// and for each its own, and before. Some of the rows are gathered.
func mixer() *onnxio.Model {
	b := newNetBuilder(5)
	b.shape = []int64{2, 4, 4}
	b.m.Graph.Inputs[0].Type = b.typeOf(b.shape)
	b.at = "x"
	add := func(name, op string, inputs []string, attrs ...*onnxio.Attribute) {
		b.m.Graph.Nodes = append(b.m.Graph.Nodes, &onnxio.Node{
			Name: name, OpType: op, Inputs: inputs, Outputs: []string{name + "_out"}, Attributes: attrs,
		})
	}
	add("behind", "MatMul", []string{"x", b.random("w1", 4, 4)})
	add("relu1", "Relu", []string{"behind_out"})
	add("before", "MatMul", []string{b.random("w2", 4, 4), "relu1_out"})
	add("relu2", "Relu", []string{"before_out"})
	add("each", "MatMul", []string{"relu2_out", b.random("w3", 2, 4, 4)})
	add("some", "Gather", []string{"each_out", b.list("i", 2, -4, 2)}, onnxio.IntAttr("axis", -2))
	add("flatten", "Flatten", []string{"some_out"})
	b.m.Graph.Outputs = []*onnxio.ValueInfo{{Name: "flatten_out", Type: b.typeOf([]int64{24})}}
	return b.m
}

// exchanged exchanges the matrices of the two channels.
func exchanged(v []float32, _ []int64) {
	for i := range 16 {
		v[i], v[16+i] = v[16+i], v[i]
	}
}

// transposes transposes a 4×4 matrix.
func transposes(v []float32, _ []int64) {
	for r := range 4 {
		for c := range r {
			v[4*r+c], v[4*c+r] = v[4*c+r], v[4*r+c]
		}
	}
}

// matMulMutations are made in the CNN, so that they fit every layout.
var matMulMutations = []mutation{
	{
		name:      "one weight of the second factor by one ulp",
		cnn:       func(t *testing.T, m *onnxio.Model) { edit(t, m, "w1", func(v []float32, _ []int64) { ulp(v, 6) }) },
		structure: "behind", float64: "layer behind",
	},
	{
		name:      "one weight of the first factor by one ulp",
		cnn:       func(t *testing.T, m *onnxio.Model) { edit(t, m, "w2", func(v []float32, _ []int64) { ulp(v, 6) }) },
		structure: "before", float64: "layer before",
	},
	{
		name:      "the second factor transposed",
		cnn:       func(t *testing.T, m *onnxio.Model) { edit(t, m, "w1", transposes) },
		structure: "behind", float64: "layer behind", float32: "layer behind",
	},
	{
		name:      "the first factor transposed",
		cnn:       func(t *testing.T, m *onnxio.Model) { edit(t, m, "w2", transposes) },
		structure: "before", float64: "layer before", float32: "layer before",
	},
	{
		name: "the factors in the other order",
		cnn: func(t *testing.T, m *onnxio.Model) {
			nodeOf(t, m, "before").Inputs = []string{"relu1_out", "w2"}
		},
		structure: "before", float64: "layer before", float32: "layer before",
	},
	{
		name:      "the matrices of two channels exchanged",
		cnn:       func(t *testing.T, m *onnxio.Model) { edit(t, m, "w3", exchanged) },
		structure: "each", float64: "layer each", float32: "layer each",
	},
	{
		name: "one matrix for both channels",
		cnn: func(t *testing.T, m *onnxio.Model) {
			edit(t, m, "w3", func(v []float32, _ []int64) { copy(v[16:], v[:16]) })
		},
		structure: "each", float64: "layer each", float32: "layer each",
	},
}

// gatherMutations are of the Gather behind them.
var gatherMutations = []mutation{
	{
		name:      "another index",
		cnn:       func(t *testing.T, m *onnxio.Model) { editInts(t, m, "i", func(v, _ []int64) { v[1] = -3 }) },
		structure: "index some", float64: "some", float32: "some", text: "index of output [0 1 0] (element 4 of",
	},
	{
		name:      "another axis",
		cnn:       func(t *testing.T, m *onnxio.Model) { set(nodeOf(t, m, "some"), onnxio.IntAttr("axis", 3)) },
		structure: "index some", float64: "some", float32: "some",
	},
	{
		name: "one place of the vector for another",
		efcn: func(t *testing.T, m *onnxio.Model) {
			editInts(t, m, nodeOf(t, m, "some").Inputs[1], func(v, _ []int64) { v[7]++ })
		},
		structure: "index some", float64: "some", float32: "some", text: "element 7 of",
	},
}

// TestMixerMutations: as TestMutations, of products with constants and of a Gather.
func TestMixerMutations(t *testing.T) {
	for _, layout := range []record.Layout{record.Dense, record.Sparse, record.Local} {
		base := converted(t, mixer(), convert.Options{Layout: layout})
		r, err := verify.Verify(context.Background(), mixer(), base, verify.Options{})
		if err != nil || !r.Equal() || len(r.Layers) != 3 {
			t.Fatal("the eFCN is not equal before the CNN is changed, or has not three layers", err, r.Findings)
		}
		for _, c := range append(gatherMutations, matMulMutations...) {
			t.Run(fmt.Sprint(layout, " ", c.name), func(t *testing.T) { c.test(t, mixer(), base.Clone()) })
		}
	}
}
