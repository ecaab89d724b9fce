package verify_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"efcn/convert"
	"efcn/convert/record"
	"efcn/convert/verify"
	"efcn/onnxio"
)

// shapely is a net that computes with shapes, as exporters write it: the size that
// a branch is interpolated to, a grid of anchors that is added and is an output
// besides, a scale that is expanded to a batch, a mask of the shape of a slice that
// nothing else reads, and a Concat and a Reshape that stay on tensors.
func shapely() *onnxio.Model {
	b := newNetBuilder(8)
	b.m.Opsets[0].Version = 17
	b.shape = []int64{3, 6, 6}
	b.m.Graph.Inputs[0].Type = b.typeOf(b.shape)
	add := func(name, op string, inputs []string, attrs ...*onnxio.Attribute) {
		b.m.Graph.Nodes = append(b.m.Graph.Nodes, &onnxio.Node{
			Name: name, OpType: op, Inputs: inputs, Outputs: []string{name + "_out"}, Attributes: attrs,
		})
	}
	ints := func(name string, v ...int64) string {
		b.m.Graph.Initializers = append(b.m.Graph.Initializers, onnxio.NewTensor(name, []int64{int64(len(v))}, v))
		return name
	}
	scalar := func(name string, v int64) string {
		b.m.Graph.Initializers = append(b.m.Graph.Initializers, onnxio.NewTensor(name, nil, []int64{v}))
		return name
	}
	one := func(name string, v float32) string {
		b.m.Graph.Initializers = append(b.m.Graph.Initializers, onnxio.NewTensor(name, nil, []float32{v}))
		return name
	}
	add("a", "Conv", []string{"x", b.random("wa", 2, 3, 3, 3), b.random("ba", 2)}, onnxio.IntsAttr("pads", 1, 1, 1, 1))
	add("b", "Conv", []string{"x", b.random("wb", 2, 3, 3, 3)}, onnxio.IntsAttr("pads", 1, 1, 1, 1), onnxio.IntsAttr("strides", 2, 2))
	// F.interpolate(b, size=a.shape[2:], mode="bicubic")
	add("sa", "Shape", []string{"a_out"})
	add("sb", "Shape", []string{"b_out"})
	add("hw", "Slice", []string{"sa_out", ints("two", 2), ints("four", 4), ints("zero", 0)})
	add("nc", "Slice", []string{"sb_out", "zero", "two", "zero"})
	add("sizes", "Concat", []string{"nc_out", "hw_out"}, onnxio.IntAttr("axis", 0))
	add("up", "Resize", []string{"b_out", "", "", "sizes_out"}, onnxio.StringAttr("mode", "cubic"))
	// torch.arange(w) + 0.5
	add("w", "Gather", []string{"sa_out", scalar("three", 3)})
	add("range", "Range", []string{scalar("from", 0), "w_out", scalar("step", 1)})
	add("float", "Cast", []string{"range_out"}, onnxio.IntAttr("to", int64(onnxio.Float32)))
	add("grid", "Add", []string{"float_out", one("half", 0.5)})
	add("moved", "Add", []string{"up_out", "grid_out"})
	add("n", "Gather", []string{"sa_out", "zero"})
	add("nw", "Concat", []string{"n_out", ints("six", 6)}, onnxio.IntAttr("axis", 0))
	add("grids", "Expand", []string{"grid_out", "nw_out"})
	add("anchors", "Mul", []string{"grids_out", one("stride", 8)})
	// k.expand_as(a), and another of the shape of a[:, :1]
	add("scale", "Expand", []string{b.random("k", 1, 2, 1, 1), "sa_out"})
	add("scaled", "Mul", []string{"moved_out", "scale_out"})
	add("cut", "Slice", []string{"a_out", "zero", ints("one", 1), "one"})
	add("sc", "Shape", []string{"cut_out"})
	add("mask", "Expand", []string{b.random("m", 1, 1, 1, 1), "sc_out"})
	add("masked", "Add", []string{"scaled_out", "mask_out"})
	// With the batch behind the channels, nothing has a vector form.
	add("turned", "Transpose", []string{"masked_out"}, onnxio.IntsAttr("perm", 1, 0, 2, 3))
	add("neg", "Neg", []string{"turned_out"})
	add("joined", "Concat", []string{"turned_out", "neg_out"}, onnxio.IntAttr("axis", -2))
	add("other", "Reshape", []string{"joined_out", ints("shape", 2, -1, 8, 9)})
	add("back", "Transpose", []string{"other_out"}, onnxio.IntsAttr("perm", 1, 0, 3, 2))
	add("flatten", "Flatten", []string{"back_out"})
	add("fc", "Gemm", []string{"flatten_out", b.random("fc.weight", 5, 144)}, onnxio.IntAttr("transB", 1))
	b.m.Graph.Outputs = []*onnxio.ValueInfo{{Name: "fc_out", Type: b.typeOf([]int64{5})}, {Name: "anchors_out", Type: b.typeOf([]int64{6})}}
	return b.m
}

// fed makes input i of a node of the eFCN a constant list.
func fed(node string, i int, v ...int64) func(t *testing.T, m *onnxio.Model) {
	return func(t *testing.T, m *onnxio.Model) {
		m.Graph.Initializers = append(m.Graph.Initializers, onnxio.NewTensor("fed", []int64{int64(len(v))}, v))
		nodeOf(t, m, node).Inputs[i] = "fed"
	}
}

// shapeMutations are of what follows from shapes, in the eFCN unless it says
// otherwise.
var shapeMutations = []mutation{
	{
		name:      "the axis of a Concat on tensors",
		efcn:      func(t *testing.T, m *onnxio.Model) { set(nodeOf(t, m, "joined"), onnxio.IntAttr("axis", 3)) },
		structure: "attribute joined", float64: "layer joined", float32: "layer joined", text: "attribute axis is 3; in the CNN it is 2",
	},
	{
		name:      "the sizes of a kept Resize",
		efcn:      fed("sizes", 1, 5, 6),
		structure: "entry up", float64: "run moved", float32: "run moved", text: "which does not depend on data",
	},
	{
		name:      "the shape of a kept Reshape",
		efcn:      fed("other", 1, 2, -1, 9, 8),
		structure: "node back", float64: "layer back", float32: "layer back", text: "has shape [2 1 9 8]; in the CNN it is [2 1 8 9]",
	},
	{
		name: "a grid computed from shapes",
		cnn: func(t *testing.T, m *onnxio.Model) {
			edit(t, m, "half", func(v []float32, _ []int64) { v[0] = 0.25 })
		},
		structure: "entry moved", float64: "layer moved", float32: "layer moved", text: "element 0 of \"grid_out",
	},
	{
		name: "an output that follows from shapes",
		efcn: func(t *testing.T, m *onnxio.Model) {
			edit(t, m, "stride", func(v []float32, _ []int64) { ulp(v, 0) })
		},
		structure: "entry anchors", float64: "layer anchors", float32: "layer anchors", text: "does not depend on data",
	},
	{
		name:      "one sample of a tensor expanded to the batch for all",
		efcn:      fed("scale", 1, 1, 2, 6, 6),
		structure: "entry scaled", text: "(with a batch of 2)",
	},
	{
		name: "the content of a tensor of which the shape alone is read",
		efcn: func(t *testing.T, m *onnxio.Model) {
			nodeOf(t, m, "masked").Inputs[1] = nodeOf(t, m, "sc").Inputs[0]
		},
		structure: "node masked", float64: "layer masked", float32: "layer masked", text: "constant in one model and computed in the other",
	},
	{
		name: "the axis of a Concat of the CNN", cnn: func(t *testing.T, m *onnxio.Model) { set(nodeOf(t, m, "joined"), onnxio.IntAttr("axis", -1)) },
		structure: "attribute joined", float64: "layer joined", float32: "layer joined",
	},
}

// TestShapeMutations: as TestMutations, of a net that computes with shapes.
func TestShapeMutations(t *testing.T) {
	for _, layout := range []record.Layout{record.Dense, record.Local} {
		base := converted(t, shapely(), convert.Options{Layout: layout})
		r, err := verify.Verify(context.Background(), shapely(), base, verify.Options{Samples: 16})
		if err != nil || !r.Equal() || len(r.Layers) != 3 {
			t.Fatal("the eFCN is not equal before it is changed, or has not three layers", err, r)
		}
		for _, c := range shapeMutations {
			t.Run(fmt.Sprint(layout, " ", c.name), func(t *testing.T) { c.test(t, shapely(), base.Clone()) })
		}
	}
}

// TestFixedBatch: with a batch of two, all that follows from shapes is constant. The
// converter leaves out what only computes it, and a slice of which nothing but the
// shape is read; the same eFCN with these nodes in it is equal, too.
func TestFixedBatch(t *testing.T) {
	build := func() *onnxio.Model {
		m := shapely()
		for _, v := range append(m.Graph.Inputs, m.Graph.Outputs...) {
			v.Type.Shape[0] = onnxio.Fixed(2)
		}
		return m
	}
	for _, o := range []convert.Options{{}, {Layout: record.Local, Fold: convert.FoldAll}, {Layout: record.Keep}} {
		efcn := converted(t, build(), o)
		for _, n := range efcn.Graph.Nodes {
			if n.OpType == "Shape" || n.Name == "cut" {
				t.Errorf("%v: node %q (%s) is there", o, n.Name, n.OpType)
			}
		}
		free := converted(t, shapely(), o)
		for _, v := range append(free.Graph.Inputs, free.Graph.Outputs...) {
			v.Type.Shape[0] = onnxio.Fixed(2)
		}
		for _, m := range []*onnxio.Model{efcn, free} {
			r, err := verify.Verify(context.Background(), build(), m, verify.Options{Samples: 8})
			if err != nil || !r.Equal() {
				t.Errorf("%v: %v, %+v", o, err, r)
			}
		}
	}
}

// TestAttributeSpelling: attributes that mean the same may be written in another
// way, and those that do not are found.
func TestAttributeSpelling(t *testing.T) {
	tests := []struct {
		node  string
		attr  *onnxio.Attribute
		equal bool
	}{
		{"joined", onnxio.IntAttr("axis", 2), true},
		{"joined", onnxio.IntAttr("axis", 1), false},
		{"up", onnxio.StringAttr("coordinate_transformation_mode", "half_pixel"), true},
		{"up", onnxio.FloatAttr("cubic_coeff_a", -0.5), false},
		{"up", onnxio.IntAttr("antialias", 0), true},
	}
	base := converted(t, shapely(), convert.Options{})
	for _, c := range tests {
		efcn := base.Clone()
		set(nodeOf(t, efcn, c.node), c.attr)
		r, err := verify.Verify(context.Background(), shapely(), efcn, verify.Options{Samples: -1, Skip: []string{verify.Float64, verify.Float32}})
		if err != nil || r.Equal() != c.equal {
			t.Errorf("%s %v: equal %t, want %t (%v, %v)", c.node, c.attr, err == nil && r.Equal(), c.equal, err, r.Findings)
		}
	}
}

// TestInitializerInput: a constant that a caller may replace is taken at its
// default, and compared.
func TestInitializerInput(t *testing.T) {
	build := func() *onnxio.Model {
		b := newNetBuilder(9)
		b.m.IRVersion = 3
		b.shape = []int64{2, 4}
		b.m.Graph.Inputs[0].Type = b.typeOf(b.shape)
		b.random("w", 3, 2, 3)
		b.random("bias", 3)
		b.node("Identity", []string{"bias"})
		b.node("Mul", []string{b.at, b.at})
		b.node("Conv", []string{"x", "w", b.at})
		for _, c := range b.m.Graph.Initializers {
			v := &onnxio.ValueInfo{Name: c.Name, Type: onnxio.TensorType{Elem: c.Type, HasShape: true}}
			for _, d := range c.Dims {
				v.Type.Shape = append(v.Type.Shape, onnxio.Fixed(d))
			}
			b.m.Graph.Inputs = append(b.m.Graph.Inputs, v)
		}
		b.m.Graph.Outputs = []*onnxio.ValueInfo{{Name: b.at, Type: b.typeOf([]int64{3, 2})}}
		return b.m
	}
	for _, changed := range []bool{false, true} {
		cnn := build()
		fixed := cnn.Clone() // as convert takes it
		fixed.Graph.Inputs = fixed.Graph.FeedInputs()
		efcn := converted(t, fixed, convert.Options{})
		if changed {
			edit(t, cnn, "bias", func(v []float32, _ []int64) { ulp(v, 1) })
		}
		r, err := verify.Verify(context.Background(), cnn, efcn, verify.Options{Samples: 8})
		if err != nil {
			t.Fatal(err)
		}
		if r.Equal() == changed || len(r.Layers) != 1 {
			t.Errorf("the default changed %t, %d layers:", changed, len(r.Layers))
			_ = r.WriteText(os.Stdout)
		}
	}
}

// TestOneAtATime: a CNN that declares a free batch and takes one sample is run on
// one at a time, and the report says so.
func TestOneAtATime(t *testing.T) {
	b := newNetBuilder(10)
	b.shape = []int64{2, 4}
	b.m.Graph.Inputs[0].Type = b.typeOf(b.shape)
	b.node("Conv", []string{"x", b.random("w", 3, 2, 3)})
	b.node("Relu", []string{b.at})
	b.node("Reshape", []string{b.at, b.list("row", 1, -1)})
	b.node("Gemm", []string{b.at, b.random("fc", 6, 5)})
	b.m.Graph.Outputs = []*onnxio.ValueInfo{{Name: b.at, Type: onnxio.TensorType{Elem: onnxio.Float32}}}
	r, err := verify.Verify(context.Background(), b.m, converted(t, b.m, convert.Options{}), verify.Options{Samples: 10})
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	if err := r.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	if !r.Equal() || r.Samples != 10 || !strings.Contains(text.String(), "run one at a time, since the models take no two: node \"gemm") {
		t.Errorf("equal %t, %d samples:\n%s", r.Equal(), r.Samples, &text)
	}
}

// TestUnreadPart: nothing has to be said of an output that nobody reads.
func TestUnreadPart(t *testing.T) {
	b := newNetBuilder(11)
	b.shape = []int64{4, 6}
	b.m.Graph.Inputs[0].Type = b.typeOf(b.shape)
	b.node("Conv", []string{"x", b.random("w", 6, 4, 3)})
	b.node("Split", []string{b.at, b.list("lengths", 2, 3, 1)}, onnxio.IntAttr("axis", 1))
	split := b.m.Graph.Nodes[len(b.m.Graph.Nodes)-1]
	split.Outputs = []string{"unread", "read", "unread too"}
	b.node("Relu", []string{"read"})
	b.m.Graph.Outputs = []*onnxio.ValueInfo{{Name: b.at, Type: onnxio.TensorType{Elem: onnxio.Float32}}}
	for _, o := range []convert.Options{{}, {Layout: record.Local}, {Fold: convert.FoldAll}} {
		efcn := converted(t, b.m, o)
		r, err := verify.Verify(context.Background(), b.m, efcn, verify.Options{Samples: 8})
		if err != nil {
			t.Fatal(err)
		}
		if !r.Equal() {
			t.Errorf("%+v:", o)
			_ = r.WriteText(os.Stdout)
		}
	}
}

// TestDrawnBeside: images are moved to where a Relu switches, and the integers
// beside them stay integers.
func TestDrawnBeside(t *testing.T) {
	b := newNetBuilder(12)
	b.shape = []int64{2, 5}
	classes := &onnxio.ValueInfo{Name: "class", Type: onnxio.TensorType{Elem: onnxio.Int64, HasShape: true, Shape: onnxio.Shape{onnxio.Symbol("N")}}}
	b.m.Graph.Inputs[0].Type = b.typeOf(b.shape)
	b.m.Graph.Inputs = append(b.m.Graph.Inputs, classes)
	features := b.node("Conv", []string{"x", b.random("w", 3, 2, 3)})
	b.node("Gather", []string{b.random("table", 7, 3), "class"})
	b.node("Unsqueeze", []string{b.at, b.list("last", 2)})
	b.node("Add", []string{features, b.at})
	b.node("Relu", []string{b.at})
	b.m.Graph.Outputs = []*onnxio.ValueInfo{{Name: b.at, Type: onnxio.TensorType{Elem: onnxio.Float32}}}
	r, err := verify.Verify(context.Background(), b.m, converted(t, b.m, convert.Options{}), verify.Options{Samples: 16})
	if err != nil || !r.Equal() {
		t.Errorf("%v, %+v", err, r)
	}
}
