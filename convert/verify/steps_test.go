package verify_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"efcn/convert"
	"efcn/convert/record"
	"efcn/convert/verify"
	"efcn/onnxio"
)

// stepNet is a CNN whose layers are parted by discontinuous operators: quantized
// and dequantized per axis and per tensor, compared with a threshold, cast to
// integers and back, rounded, ranked and picked by the ranking.
func stepNet() *onnxio.Model {
	b := newNetBuilder(3)
	b.m.Opsets[0].Version = 17
	b.shape = []int64{3, 8, 8}
	b.m.Graph.Inputs[0].Type = b.typeOf(b.shape)
	constant := func(t *onnxio.Tensor) string {
		b.m.Graph.Initializers = append(b.m.Graph.Initializers, t)
		return t.Name
	}
	add := func(name, op string, inputs []string, attrs ...*onnxio.Attribute) {
		b.m.Graph.Nodes = append(b.m.Graph.Nodes, &onnxio.Node{
			Name: name, OpType: op, Inputs: inputs, Outputs: []string{name + "_out"}, Attributes: attrs,
		})
	}
	conv := func(name, x string, out, in int64) {
		add(name, "Conv", []string{x, b.random(name+"_w", out, in, 3, 3), b.random(name+"_b", out)}, onnxio.IntsAttr("pads", 1, 1, 1, 1))
	}
	axis, to := onnxio.IntAttr("axis", 1), func(t onnxio.DataType) *onnxio.Attribute { return onnxio.IntAttr("to", int64(t)) }
	conv("conv1", "x", 8, 3)
	scale, zero := constant(onnxio.NewTensor("scale", []int64{8}, []float32{0.05, 0.06, 0.07, 0.05, 0.04, 0.1, 0.05, 0.08})),
		constant(onnxio.NewTensor("zero", []int64{8}, []uint8{128, 120, 128, 100, 130, 128, 128, 140}))
	add("quant1", "QuantizeLinear", []string{"conv1_out", scale, zero}, axis)
	add("dequant1", "DequantizeLinear", []string{"quant1_out", scale, zero}, axis)
	conv("conv2", "dequant1_out", 8, 8)
	add("greater", "Greater", []string{"conv2_out", constant(onnxio.NewTensor("threshold", nil, []float32{0.5}))})
	add("where", "Where", []string{"greater_out", "conv2_out", constant(onnxio.NewTensor("other", nil, []float32{-1}))})
	conv("conv3", "where_out", 8, 8)
	add("toint", "Cast", []string{"conv3_out"}, to(onnxio.Int32))
	add("tofloat", "Cast", []string{"toint_out"}, to(onnxio.Float32))
	conv("conv4", "tofloat_out", 4, 8)
	add("floor", "Floor", []string{"conv4_out"})
	conv("conv5", "floor_out", 4, 4)
	add("flat", "Flatten", []string{"conv5_out"})
	b.m.Graph.Nodes = append(b.m.Graph.Nodes, &onnxio.Node{
		Name: "topk", OpType: "TopK", Inputs: []string{"flat_out", constant(onnxio.NewTensor("k", []int64{1}, []int64{5}))},
		Outputs: []string{"best", "places"}, Attributes: []*onnxio.Attribute{onnxio.IntAttr("axis", 1)},
	})
	add("dense", "Gemm", []string{"flat_out", b.random("dense_w", 256, 256)}, onnxio.IntAttr("transB", 1))
	add("pick", "GatherElements", []string{"dense_out", "places"}, axis)
	add("class", "ArgMax", []string{"dense_out"}, axis)
	b.m.Graph.Outputs = []*onnxio.ValueInfo{
		{Name: "best", Type: b.typeOf([]int64{5})},
		{Name: "pick_out", Type: b.typeOf([]int64{5})},
		{Name: "class_out", Type: onnxio.TensorType{Elem: onnxio.Int64, HasShape: true, Shape: onnxio.Shape{onnxio.Symbol("N"), onnxio.Fixed(1)}}},
	}
	return b.m
}

// stepMutations are those of stepNet and its eFCN. What a step does is told apart
// from rounding where the value before it is far from the step, which nearly all are.
var stepMutations = []mutation{
	{
		name: "the scale of a QuantizeLinear by a hundredth",
		efcn: func(t *testing.T, m *onnxio.Model) {
			edit(t, m, "scale", func(v []float32, _ []int64) { v[2] *= 1.01 })
		},
		structure: "entry quant1", float64: "layer quant1", float32: "layer quant1",
	},
	{
		name: "the scale of a DequantizeLinear by one ulp",
		efcn: func(t *testing.T, m *onnxio.Model) {
			m.Graph.Initializers = append(m.Graph.Initializers, copied(t, m, "scale", "scale2"))
			nodeOf(t, m, "dequant1").Inputs[1] = "scale2"
			edit(t, m, "scale2", func(v []float32, _ []int64) { ulp(v, 2) })
		},
		structure: "entry dequant1", float64: "layer dequant1", float32: "layer dequant1",
	},
	{
		name: "a zero point by one",
		efcn: func(t *testing.T, m *onnxio.Model) {
			replace(t, m, onnxio.NewTensor("zero", []int64{8}, []uint8{128, 120, 129, 100, 130, 128, 128, 140}))
		},
		structure: "entry quant1", float64: "layer quant1", float32: "layer quant1",
	},
	{
		name:      "the axis of a QuantizeLinear",
		efcn:      func(t *testing.T, m *onnxio.Model) { set(nodeOf(t, m, "quant1"), onnxio.IntAttr("axis", 2)) },
		structure: "attribute quant1", float64: "layer quant1", float32: "layer quant1",
	},
	{
		name: "the threshold of a comparison by a hundredth",
		efcn: func(t *testing.T, m *onnxio.Model) {
			edit(t, m, "threshold", func(v []float32, _ []int64) { v[0] *= 1.01 })
		},
		structure: "entry greater", float64: "layer greater", float32: "layer greater",
	},
	{
		name:      "a comparison the other way",
		efcn:      func(t *testing.T, m *onnxio.Model) { nodeOf(t, m, "greater").OpType = "LessOrEqual" },
		structure: "node greater", float64: "layer greater", float32: "layer greater",
	},
	{
		name:      "a Floor that is a Round",
		efcn:      func(t *testing.T, m *onnxio.Model) { nodeOf(t, m, "floor").OpType = "Round" },
		structure: "node floor", float64: "layer floor", float32: "layer floor",
	},
	{
		name: "a Cast to fewer bits",
		efcn: func(t *testing.T, m *onnxio.Model) {
			set(nodeOf(t, m, "toint"), onnxio.IntAttr("to", int64(onnxio.Int8)))
		},
		structure: "attribute toint", float64: "layer tofloat", float32: "layer tofloat",
	},
	{
		name:      "the smallest in place of the largest",
		efcn:      func(t *testing.T, m *onnxio.Model) { set(nodeOf(t, m, "topk"), onnxio.IntAttr("largest", 0)) },
		structure: "attribute topk", float64: "layer topk", float32: "layer topk",
	},
	{
		name:      "fewer than the k largest",
		efcn:      func(t *testing.T, m *onnxio.Model) { replace(t, m, onnxio.NewTensor("k", []int64{1}, []int64{4})) },
		structure: "entry topk", float64: "layer topk", float32: "layer topk", misshapen: true,
	},
	{
		name:      "an ArgMax that is an ArgMin",
		efcn:      func(t *testing.T, m *onnxio.Model) { nodeOf(t, m, "class").OpType = "ArgMin" },
		structure: "node class", float64: "layer class", float32: "layer class",
	},
}

// copied returns a copy of an initializer under another name.
func copied(t *testing.T, m *onnxio.Model, name, to string) *onnxio.Tensor {
	t.Helper()
	for _, init := range m.Graph.Initializers {
		if init.Name == name {
			c := *init
			c.Name = to
			return &c
		}
	}
	t.Fatalf("no initializer %q", name)
	return nil
}

// replace puts another tensor in the place of the initializer of its name.
func replace(t *testing.T, m *onnxio.Model, with *onnxio.Tensor) {
	t.Helper()
	copied(t, m, with.Name, with.Name)
	for i, init := range m.Graph.Initializers {
		if init.Name == with.Name {
			m.Graph.Initializers[i] = with
		}
	}
}

// TestStepMutations: a fault at a step, or before one, is found as others are.
func TestStepMutations(t *testing.T) {
	if len(stepMutations) != 11 {
		t.Errorf("%d mutations, the table has had 11", len(stepMutations))
	}
	for _, layout := range []record.Layout{record.Dense, record.Local, record.Keep} {
		base := converted(t, stepNet(), convert.Options{Layout: layout})
		for _, c := range stepMutations {
			t.Run(string(layout)+" "+c.name, func(t *testing.T) { c.test(t, stepNet(), base.Clone()) })
		}
	}
}

// TestStepsEqual: what rounding does at a step is no fault, at any seed, in any layout;
// the steps that elements are near to are named.
func TestStepsEqual(t *testing.T) {
	near, apart := int64(0), int64(0)
	for _, layout := range []record.Layout{record.Dense, record.Sparse, record.Local, record.Keep} {
		efcn := converted(t, stepNet(), convert.Options{Layout: layout})
		for seed := range uint64(4) {
			r, err := verify.Verify(context.Background(), stepNet(), efcn, verify.Options{Samples: 32, Seed: seed})
			if err != nil || !r.Equal() {
				t.Fatal(layout, seed, err, r.Findings)
			}
			var text strings.Builder
			if err := r.WriteText(&text); err != nil {
				t.Fatal(err)
			}
			for _, s := range r.Steps {
				near, apart = near+s.Near, apart+s.Apart
				if want := fmt.Sprintf("%d of %d elements of value %q, computed by node %q (%s), lie within their bound of a step in %s; %d of them differ", s.Near, s.Elements, s.Value, s.Node, s.Op, s.Precision, s.Apart); !strings.Contains(text.String(), want) {
					t.Errorf("the text does not say %q", want)
				}
			}
		}
	}
	if near == 0 || apart == 0 {
		t.Errorf("%d elements near a step, %d of them different; want some", near, apart)
	}
}

// TestStepsOfPairs: two models without a record, one with its weights rounded once
// more, and with a threshold that is wrong.
func TestStepsOfPairs(t *testing.T) {
	plain := func() *onnxio.Model {
		m := converted(t, stepNet(), convert.Options{Layout: record.Dense})
		m.Metadata = nil
		return m
	}
	for _, c := range []struct {
		name  string
		edit  func(m *onnxio.Model)
		equal bool
	}{
		{"the same", func(*onnxio.Model) {}, true},
		{"a threshold", func(m *onnxio.Model) { edit(t, m, "threshold", func(v []float32, _ []int64) { v[0] = 0.51 }) }, false},
		{"a zero point", func(m *onnxio.Model) {
			replace(t, m, onnxio.NewTensor("zero", []int64{8}, []uint8{129, 120, 128, 100, 130, 128, 128, 140}))
		}, false},
		{"a Floor that is a Ceil", func(m *onnxio.Model) { nodeOf(t, m, "floor").OpType = "Ceil" }, false},
	} {
		m := plain()
		c.edit(m)
		r, err := verify.Verify(context.Background(), stepNet(), m, verify.Options{Samples: 32})
		if err != nil || r.Equal() != c.equal {
			t.Errorf("%s: equal %t, want %t (%v) %v", c.name, err == nil && r.Equal(), c.equal, err, r.Findings)
		}
	}
}
