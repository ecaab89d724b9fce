package verify_test

import (
	"context"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"efcn/convert"
	"efcn/convert/verify"
	"efcn/internal/constants"
	"efcn/onnxio"
)

// sideInput returns Conv → Relu → op(·, z) → Conv of an image x[N,2,4,4], with z in
// front of x among the inputs and of the given type.
func sideInput(op string, z onnxio.TensorType) *onnxio.Model {
	rng := rand.New(rand.NewPCG(1, 2))
	weight := func(name string, dims ...int64) *onnxio.Tensor {
		v := make([]float32, dims[0]*dims[1]*dims[2]*dims[3])
		for i := range v {
			v[i] = float32(rng.NormFloat64())
		}
		return onnxio.NewTensor(name, dims, v)
	}
	shape := func(dims ...int64) onnxio.TensorType {
		t := onnxio.TensorType{Elem: onnxio.Float32, HasShape: true, Shape: onnxio.Shape{onnxio.Symbol("N")}}
		for _, d := range dims {
			t.Shape = append(t.Shape, onnxio.Fixed(d))
		}
		return t
	}
	node := func(op, out string, in ...string) *onnxio.Node {
		return &onnxio.Node{Name: out, OpType: op, Inputs: in, Outputs: []string{out}}
	}
	g := &onnxio.Graph{
		Name:         "side",
		Inputs:       []*onnxio.ValueInfo{{Name: "z", Type: z}, {Name: "x", Type: shape(2, 4, 4)}},
		Outputs:      []*onnxio.ValueInfo{{Name: "y", Type: shape(2, 3, 3)}},
		Initializers: []*onnxio.Tensor{weight("v", 3, 2, 2, 2), weight("w", 2, 3, 1, 1)},
		Nodes:        []*onnxio.Node{node("Conv", "c", "x", "v"), node("Relu", "r", "c"), node("Conv", "y", "r", "w")},
	}
	if op != "" {
		g.Nodes = slices.Insert(g.Nodes, 2, node(op, "s", "r", "z"))
		g.Nodes[3].Inputs[0] = "s"
	}
	return &onnxio.Model{IRVersion: 8, Opsets: []onnxio.Opset{{Version: 17}}, Graph: g}
}

// TestSideInputs: an input without a batch axis stays as it is, both convolutions
// are embedded, and verify runs every batch with the same array for it; a fault
// behind it is found.
func TestSideInputs(t *testing.T) {
	fixed := func(elem onnxio.DataType, dims ...int64) onnxio.TensorType {
		t := onnxio.TensorType{Elem: elem, HasShape: true, Shape: onnxio.Shape{}}
		for _, d := range dims {
			t.Shape = append(t.Shape, onnxio.Fixed(d))
		}
		return t
	}
	open := func(name string, dims ...int64) onnxio.TensorType {
		t := fixed(onnxio.Float32, dims...)
		t.Shape = slices.Insert(t.Shape, 0, onnxio.Symbol(name))
		return t
	}
	tests := map[string]struct {
		op string
		z  onnxio.TensorType
	}{
		"a scalar":                             {"Div", fixed(onnxio.Float32)},
		"a temperature":                        {"Div", fixed(onnxio.Float32, 1)},
		"a factor for each channel":            {"Mul", fixed(onnxio.Float32, 3, 1, 1)},
		"an image for all samples":             {"Add", fixed(onnxio.Float32, 1, 3, 3, 3)},
		"the batch under another name":         {"Add", open("M", 3, 3, 3)},
		"that no node reads":                   {"", fixed(onnxio.Float32, 1, 1, 1, 3)},
		"that no node reads, open":             {"", open("M", 5)},
		"that no node reads, of integers":      {"", fixed(onnxio.Int64, 2)},
		"that no node reads, of any shape":     {"", onnxio.TensorType{Elem: onnxio.Float32}},
		"that no node reads, as the batch":     {"", open("N", 5)},
		"that no node reads, of nothing known": {"", onnxio.TensorType{Elem: onnxio.Float32, HasShape: true, Shape: onnxio.Shape{onnxio.Symbol("?"), onnxio.Symbol("?")}}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			cnn := sideInput(test.op, test.z)
			efcn := converted(t, cnn, convert.Options{})
			var inputs, ops []string
			for _, v := range efcn.Graph.Inputs {
				inputs = append(inputs, v.Name)
			}
			for _, n := range efcn.Graph.Nodes {
				ops = append(ops, n.OpType)
			}
			if strings.Join(inputs, " ") != "z x" {
				t.Errorf("inputs %v", inputs)
			}
			if strings.Count(strings.Join(ops, " "), "Gemm") != 2 {
				t.Errorf("operators %v", ops)
			}
			o := verify.Options{Samples: 40}
			r, err := verify.Verify(context.Background(), cnn, efcn, o)
			if err != nil || !r.Equal() {
				t.Fatalf("%v, %+v", err, r)
			}
			if r.Samples != 40 {
				t.Errorf("%d samples", r.Samples)
			}
			other := sideInput(test.op, test.z)
			w := other.Graph.Initializer("w")
			values, err := onnxio.Floats[float32](w)
			if err != nil {
				t.Fatal(err)
			}
			values = slices.Clone(values)
			values[0] *= 1.001
			other.Graph.Initializers[1] = onnxio.NewTensor("w", w.Dims, values)
			if r, err := verify.Verify(context.Background(), other, efcn, verify.Options{Samples: 40, Skip: []string{verify.Structure}}); err != nil || r.Equal() {
				t.Errorf("another weight is not found (%v)", err)
			}
		})
	}
}

// TestBranchByShape: an If that TorchScript writes for squeeze of an open axis is
// followed for the shape that the CNN was converted for, given again or not.
func TestBranchByShape(t *testing.T) {
	node := func(op, out string, in ...string) *onnxio.Node {
		return &onnxio.Node{Name: out, OpType: op, Inputs: in, Outputs: []string{out}}
	}
	branch := func(name, op string, in ...string) *onnxio.Attribute {
		return &onnxio.Attribute{Name: name, Type: onnxio.AttrGraph, G: &onnxio.Graph{
			Name: name, Nodes: []*onnxio.Node{node(op, "o", in...)}, Outputs: []*onnxio.ValueInfo{{Name: "o", Type: onnxio.TensorType{Elem: onnxio.Float32}}},
		}}
	}
	cnn := sideInput("", onnxio.TensorType{Elem: onnxio.Float32, HasShape: true, Shape: onnxio.Shape{onnxio.Fixed(1)}})
	g := cnn.Graph
	g.Inputs[1].Type.Shape[2] = onnxio.Symbol("H")
	g.Outputs[0].Type = onnxio.TensorType{Elem: onnxio.Float32, HasShape: true, Shape: onnxio.Shape{onnxio.Symbol("N"), onnxio.Symbol("a"), onnxio.Symbol("b")}}
	g.Initializers = append(g.Initializers, onnxio.NewTensor("two", nil, []int64{2}), onnxio.NewTensor("one", nil, []int64{1}), onnxio.NewTensor("axis", []int64{1}, []int64{2}), onnxio.NewTensor("k", []int64{2, 2, 1}, []float32{1, 2, 3, 4}))
	g.Nodes[2].Outputs[0] = "c2"
	choose := node("If", "s", "flat")
	choose.Attributes = []*onnxio.Attribute{branch("then_branch", "Squeeze", "c2", "axis"), branch("else_branch", "Identity", "c2")}
	g.Nodes = append(g.Nodes, node("Shape", "shape", "c2"), node("Gather", "h", "shape", "two"), node("Equal", "flat", "h", "one"), choose, node("Conv", "y", "s", "k"))
	if err := cnn.Check(); err != nil {
		t.Fatal(err)
	}
	inputs := map[string][]int64{"x": {-1, 2, 2, 4}}
	folded, err := constants.Fold(cnn, constants.Options{Inputs: inputs})
	if err != nil {
		t.Fatal(err)
	}
	plan, err := convert.NewPlan(folded, convert.Options{InputShapes: inputs})
	if err != nil {
		t.Fatal(err)
	}
	if len(plan.Layers) != 3 {
		t.Errorf("%d layers", len(plan.Layers))
	}
	efcn, err := plan.Model()
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range []verify.Options{{Samples: 8}, {Samples: 8, InputShapes: inputs}} {
		if r, err := verify.Verify(context.Background(), cnn, efcn, o); err != nil || !r.Equal() {
			t.Errorf("%v: %v, %+v", o.InputShapes, err, r)
		}
	}
}

// TestSideInputGiven: an array given for an input without a batch axis is as it is.
func TestSideInputGiven(t *testing.T) {
	cnn := sideInput("Mul", onnxio.TensorType{Elem: onnxio.Float32, HasShape: true, Shape: onnxio.Shape{onnxio.Fixed(3), onnxio.Fixed(1), onnxio.Fixed(1)}})
	efcn := converted(t, cnn, convert.Options{})
	given := func(name string, dims ...int64) *onnxio.Tensor {
		n, err := onnxio.NumElements(dims)
		if err != nil {
			t.Fatal(err)
		}
		v := make([]float32, n)
		for i := range v {
			v[i] = float32(i%7) - 3
		}
		return onnxio.NewTensor(name, dims, v)
	}
	r, err := verify.Verify(context.Background(), cnn, efcn, verify.Options{Samples: -1, Inputs: []*onnxio.Tensor{given("x", 5, 2, 4, 4), given("z", 3, 1, 1)}})
	if err != nil || !r.Equal() || r.Samples != 5 {
		t.Errorf("%v, %+v", err, r)
	}
	_, err = verify.Verify(context.Background(), cnn, efcn, verify.Options{Samples: -1, Inputs: []*onnxio.Tensor{given("x", 5, 2, 4, 4), given("z", 5, 3, 1, 1)}})
	if err == nil || !strings.Contains(err.Error(), `input "z", which has no batch axis: the array given has shape [5 3 1 1]; want [3 1 1]`) {
		t.Errorf("%v", err)
	}
}
