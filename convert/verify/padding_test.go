package verify_test

import (
	"context"
	"fmt"
	"math"
	"os"
	"slices"
	"testing"

	"efcn/convert"
	"efcn/convert/record"
	"efcn/convert/verify"
	"efcn/onnxio"
)

// paddedNet is a small CNN with a Pad in front of every convolution and pooling,
// each of which is absorbed.
func paddedNet() *onnxio.Model {
	b := newNetBuilder(11)
	b.m.Opsets[0].Version = 17
	b.shape = []int64{3, 7, 8}
	b.m.Graph.Inputs[0].Type = b.typeOf(b.shape)
	ints, at := onnxio.IntsAttr, "x"
	add := func(name, op string, inputs []string, attrs ...*onnxio.Attribute) {
		b.m.Graph.Nodes = append(b.m.Graph.Nodes, &onnxio.Node{
			Name: name, OpType: op, Inputs: append([]string{at}, inputs...), Outputs: []string{name + "_out"}, Attributes: attrs,
		})
		at = name + "_out"
	}
	add("pad1", "Pad", []string{b.list("pads1", 0, 0, 1, 2, 0, 0, 2, 1)})
	add("conv1", "Conv", []string{b.random("w1", 4, 3, 3, 3), b.random("b1", 4)})
	add("bn1", "BatchNormalization", []string{b.positive("gamma", 4), b.random("beta", 4), b.random("mean", 4), b.positive("var", 4)})
	add("relu1", "Relu", nil)
	add("pad2", "Pad", []string{b.list("pads2", 0, 0, 1, 1, 0, 0, 1, 0)}) // 4×8×9
	add("pool1", "MaxPool", nil, ints("kernel_shape", 2, 2), ints("strides", 2, 2))
	add("pad3", "Pad", []string{b.list("pads3", 0, 0, 2, 0, 0, 0, 0, 1)}) // 4×5×5
	add("conv2", "Conv", []string{b.random("w2", 4, 4, 3, 2)}, ints("pads", 0, 1, 1, 0))
	add("pad4", "Pad", []string{b.list("pads4", 0, 0, 1, 0, 0, 0, 1, 1)}) // 4×6×6
	add("avg1", "AveragePool", nil, ints("kernel_shape", 3, 3), ints("strides", 2, 1))
	add("flatten", "Flatten", nil)
	b.m.Graph.Outputs = []*onnxio.ValueInfo{{Name: at, Type: b.typeOf([]int64{4 * 3 * 5})}}
	return b.m
}

// setList replaces an initializer of integers.
func setList(m *onnxio.Model, name string, v ...int64) {
	i := slices.IndexFunc(m.Graph.Initializers, func(t *onnxio.Tensor) bool { return t.Name == name })
	m.Graph.Initializers[i] = onnxio.NewTensor(name, []int64{int64(len(v))}, v)
}

// padMutation is a mutation of paddedNet or its eFCN in a layout.
type padMutation struct {
	layout record.Layout
	mutation
}

var padMutations = []padMutation{
	{record.Dense, mutation{
		name:      "a Pad of the CNN that became a Conv's padding, by one",
		cnn:       func(_ *testing.T, m *onnxio.Model) { setList(m, "pads1", 0, 0, 2, 2, 0, 0, 1, 1) },
		structure: "entry conv1", float64: "layer bn1", float32: "layer bn1",
	}},
	{record.Dense, mutation{
		name: "what a Pad of the CNN pads with",
		cnn: func(t *testing.T, m *onnxio.Model) {
			m.Graph.Initializers = append(m.Graph.Initializers, onnxio.NewTensor("one", nil, []float32{1}))
			n := nodeOf(t, m, "pad1")
			n.Inputs = append(n.Inputs, "one")
		},
		structure: "node pad1", float64: "layer bn1", float32: "layer bn1", text: "the eFCN leaves it out",
	}},
	{record.Dense, mutation{
		name:      "the mode of a Pad of the CNN",
		cnn:       func(t *testing.T, m *onnxio.Model) { set(nodeOf(t, m, "pad3"), onnxio.StringAttr("mode", "edge")) },
		structure: "node pad3", float64: "layer conv2", float32: "layer conv2", text: "the eFCN leaves it out",
	}},
	{record.Dense, mutation{
		name: "a Pad as the padding of a MaxPool whose input can be negative",
		cnn:  leaky, efcn: leaky,
		structure: "node pad2", float64: "layer pool1", float32: "layer pool1", text: "the eFCN leaves it out",
	}},
	{record.Dense, mutation{
		name:      "the padding of a MaxPool that was a Pad",
		efcn:      func(t *testing.T, m *onnxio.Model) { set(nodeOf(t, m, "pool1"), onnxio.IntsAttr("pads", 1, 0, 1, 1)) },
		structure: "attribute pool1", float64: "layer pool1", float32: "layer pool1", text: "attribute pads is [1 0 1 1]; in the CNN it is [1 1 1 0]",
	}},
	{record.Dense, mutation{
		name: "padding of an average that was a Pad not counted",
		cnn: func(t *testing.T, m *onnxio.Model) {
			n := nodeOf(t, m, "avg1")
			n.Inputs[0] = "conv2_out"
			set(n, onnxio.IntsAttr("pads", 1, 0, 1, 1))
		},
		structure: "entry avg1", float64: "layer avg1", float32: "layer avg1",
	}},
	{record.Local, mutation{
		name:      "a Pad of the CNN that became a Conv's padding, by one",
		cnn:       func(_ *testing.T, m *onnxio.Model) { setList(m, "pads3", 0, 0, 1, 0, 0, 0, 1, 1) },
		structure: "index conv2", float64: "layer conv2", float32: "layer conv2",
	}},
	{record.Keep, mutation{
		name:      "the padding of a Conv that was a Pad",
		efcn:      func(t *testing.T, m *onnxio.Model) { set(nodeOf(t, m, "conv2"), onnxio.IntsAttr("pads", 1, 1, 2, 1)) },
		structure: "attribute conv2", float64: "layer conv2", float32: "layer conv2", text: "attribute pads is [1 1 2 1]; in the CNN it is [2 1 1 1]",
	}},
	{record.Keep, mutation{
		name:      "padding of an average that was a Pad not counted",
		efcn:      func(t *testing.T, m *onnxio.Model) { set(nodeOf(t, m, "avg1"), onnxio.IntAttr("count_include_pad", 0)) },
		structure: "attribute avg1", float64: "layer avg1", float32: "layer avg1", text: "attribute count_include_pad is 0; in the CNN it is 1",
	}},
}

// leaky lets negative numbers through the Relu in front of the MaxPool.
func leaky(t *testing.T, m *onnxio.Model) {
	n := nodeOf(t, m, "relu1")
	n.OpType = "LeakyRelu"
	set(n, onnxio.FloatAttr("alpha", 0.5))
}

// TestPadMutations: a wrong padding that was a Pad is found and named.
func TestPadMutations(t *testing.T) {
	if len(padMutations) != 9 {
		t.Errorf("%d mutations, the table has had 9", len(padMutations))
	}
	for _, c := range padMutations {
		t.Run(fmt.Sprint(c.layout, " ", c.name), func(t *testing.T) {
			efcn := converted(t, paddedNet(), convert.Options{Layout: c.layout})
			if slices.ContainsFunc(efcn.Graph.Nodes, func(n *onnxio.Node) bool { return n.OpType == "Pad" && c.layout != record.Local }) {
				t.Error("a Pad was not absorbed")
			}
			if r, err := verify.Verify(context.Background(), paddedNet(), efcn, verify.Options{}); err != nil || !r.Equal() {
				t.Fatal("the eFCN is not equal before it is changed", err)
			}
			c.test(t, paddedNet(), efcn)
		})
	}
}

// TestPadParting: where a layer with absorbed padding parts, its terms are named by
// what it reads in front of the Pad.
func TestPadParting(t *testing.T) {
	for _, layout := range []record.Layout{record.Dense, record.Local} {
		efcn := converted(t, paddedNet(), convert.Options{Layout: layout})
		edit(t, efcn, "conv2.weight", func(v []float32, _ []int64) {
			i := slices.IndexFunc(v, func(k float32) bool { return k != 0 })
			v[i] *= 2
		})
		r, err := verify.Verify(context.Background(), paddedNet(), efcn, verify.Options{Samples: 8})
		if err != nil {
			t.Fatal(err)
		}
		p := r.Parting
		if p == nil || p.Row == nil || p.Row.Input != "pool1_out" || p.Row.Differ != 1 {
			t.Fatalf("%s: parting %+v; want a row over pool1_out in which one weight differs", layout, p)
		}
		sumsUp(t, p)
	}
}

// paddings appends Pads in front of a convolution or pooling.
func (b *netBuilder) paddings(fills ...float32) {
	for range 1 + b.IntN(2) {
		begins, ends, shape := []int64{0, 0}, []int64{0, 0}, []int64{b.shape[0]}
		for _, d := range b.shape[1:] {
			pb, pe := b.Int64N(2), b.Int64N(3)
			if b.IntN(9) == 0 {
				pb = -1
			}
			if d+pb+pe < 2 {
				pb, pe = 1, 1
			}
			begins, ends, shape = append(begins, pb), append(ends, pe), append(shape, d+pb+pe)
		}
		name := fmt.Sprintf("p%d", len(b.m.Graph.Nodes))
		b.m.Graph.Initializers = append(b.m.Graph.Initializers, onnxio.NewTensor(name+"_value", nil, []float32{fills[b.IntN(len(fills))]}))
		b.node("Pad", []string{b.at, b.list(name, append(begins, ends...)...), name + "_value"})
		b.shape = shape
	}
}

// TestPaddings: Pads in front of convolutions and poolings of random geometries are
// absorbed or kept by the converter as verify has it, in every layout.
func TestPaddings(t *testing.T) {
	const nets = 150
	absorbed := make(map[string]int)
	for seed := range uint64(nets) {
		b := newNetBuilder(1000 + seed)
		if b.IntN(3) > 0 {
			b.node("Relu", []string{b.at})
		}
		op := []string{"Conv", "AveragePool", "AveragePool", "MaxPool", "MaxPool"}[b.IntN(5)]
		relu := seed%5 == 0
		if op == "MaxPool" && !relu {
			b.paddings(0, 0, 0, 0, -1, float32(math.Inf(-1)))
		} else {
			b.paddings(0, 0, 0, 0, 0, 0, 0, 1)
		}
		switch op {
		case "Conv":
			b.conv()
		default:
			_, attrs := b.window(true)
			if op == "AveragePool" {
				attrs = append(attrs, onnxio.IntAttr("count_include_pad", b.Int64N(2)))
			}
			b.node(op, []string{b.at}, attrs...)
		}
		b.m.Graph.Outputs = []*onnxio.ValueInfo{{Name: b.at, Type: b.typeOf(b.shape)}}
		o := convert.Options{Layout: []record.Layout{record.Dense, record.Local, record.Sparse, record.Keep}[seed%4]}
		if relu {
			o.MaxPool, o.Fold = convert.MaxPoolRelu, convert.FoldAll
		}
		if o.Layout == record.Keep {
			o.MaxPool = ""
		}
		plan, err := convert.NewPlan(b.m, o)
		if err != nil {
			// A maximum over nothing but padding has no levels; it is no fault of a Pad.
			absorbed["refused"]++
			continue
		}
		for _, a := range plan.Absorbed {
			for _, n := range b.m.Graph.Nodes {
				if n.Label() == a.Node {
					absorbed[n.OpType]++
				}
			}
		}
		r, err := verify.Verify(context.Background(), b.m, converted(t, b.m, o), verify.Options{Samples: 8})
		if err != nil {
			t.Fatalf("net %d: %v", seed, err)
		}
		if !r.Equal() {
			t.Errorf("net %d: flagged", seed)
			_ = r.WriteText(os.Stdout)
		}
	}
	t.Log(absorbed)
	for op, least := range map[string]int{"Conv": 25, "AveragePool": 15, "MaxPool": 10} {
		if absorbed[op] < least {
			t.Errorf("%d Pads absorbed by a %s, want at least %d", absorbed[op], op, least)
		}
	}
	if absorbed["refused"] > nets/20 {
		t.Errorf("%d nets refused", absorbed["refused"])
	}
}

// TestPadBesideShapes: what follows from shapes is known of a CNN of which the eFCN leaves out a
// Pad, too.
func TestPadBesideShapes(t *testing.T) {
	b := newNetBuilder(12)
	b.m.Opsets[0].Version = 17
	b.shape = []int64{3, 6, 6}
	b.m.Graph.Inputs[0].Type = b.typeOf(b.shape)
	node := func(op, out string, inputs ...string) *onnxio.Node {
		return &onnxio.Node{Name: out, OpType: op, Inputs: inputs, Outputs: []string{out}}
	}
	join := node("Concat", "y", "conv", "grid")
	join.Attributes = []*onnxio.Attribute{onnxio.IntAttr("axis", 1)}
	b.m.Graph.Nodes = []*onnxio.Node{
		node("Pad", "pad", "x", b.list("pads", 0, 0, 1, 1, 0, 0, 1, 1)),
		node("Conv", "conv", "pad", b.random("w", 4, 3, 3, 3)),
		node("Shape", "shape", "conv"), node("Expand", "grid", b.random("line", 1, 4, 1, 1), "shape"), join,
	}
	b.m.Graph.Outputs = []*onnxio.ValueInfo{{Name: "y", Type: b.typeOf([]int64{8, 6, 6})}}
	efcn := converted(t, b.m, convert.Options{Layout: record.Local})
	r, err := verify.Verify(t.Context(), b.m, efcn, verify.Options{Samples: 4})
	if err != nil {
		t.Fatal(err)
	}
	if !r.Equal() {
		t.Errorf("not equal: %v", r.Findings)
	}
}
