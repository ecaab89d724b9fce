package shape_test

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"testing"

	"efcn/internal/constants"
	"efcn/onnxio"
	"efcn/onnxio/shape"
)

func node(op string, inputs, outputs string, attributes ...*onnxio.Attribute) *onnxio.Node {
	return &onnxio.Node{
		Name: "n_" + op, OpType: op, Inputs: strings.Fields(inputs), Outputs: strings.Fields(outputs),
		Attributes: attributes,
	}
}

// model builds a model with float32 input x of that shape and output y.
func model(t *testing.T, x string, nodes ...*onnxio.Node) *onnxio.Model {
	t.Helper()
	return &onnxio.Model{Opsets: []onnxio.Opset{{Version: 17}}, Graph: &onnxio.Graph{
		Nodes:   nodes,
		Inputs:  []*onnxio.ValueInfo{{Name: "x", Type: parseType(t, x)}},
		Outputs: []*onnxio.ValueInfo{{Name: "y"}},
		Initializers: []*onnxio.Tensor{
			onnxio.NewTensor("zero", nil, []int64{0}),
			onnxio.NewTensor("axis0", []int64{1}, []int64{0}),
			onnxio.NewTensor("minus1", []int64{1}, []int64{-1}),
			onnxio.NewTensor("eight", []int64{1}, []int64{8}),
			onnxio.NewTensor("two", nil, []float32{2}),
		},
	}}
}

func typeOf(t *testing.T, m *onnxio.Model, inputs map[string][]int64, name string) string {
	t.Helper()
	info, err := shape.Infer(m, shape.Options{Inputs: inputs, Evaluate: constants.Evaluate})
	if err != nil {
		t.Fatal(err)
	}
	got, ok := info.Type(name)
	if !ok {
		t.Fatalf("no value %q", name)
	}
	return formatType(got)
}

// TestSymbolic follows what exporters write around a Reshape.
func TestSymbolic(t *testing.T) {
	size := []*onnxio.Node{
		node("Shape", "x", "s"),
		node("Gather", "s zero", "b"),
		node("Unsqueeze", "b axis0", "b1"),
	}
	for _, c := range []struct {
		name, x string
		nodes   []*onnxio.Node
		want    string
	}{
		{"torchscript view", "float32[batch,16,12,12]", []*onnxio.Node{
			node("Concat", "b1 minus1", "t", num("axis", 0)), node("Reshape", "x t", "y"),
		}, "float32[batch,2304]"},
		{"unnamed batch", "float32[?,16,12,12]", []*onnxio.Node{
			node("Concat", "b1 minus1", "t", num("axis", 0)), node("Reshape", "x t", "y"),
		}, "float32[?,2304]"},
		{"channel shuffle", "float32[batch,16,h,w]", []*onnxio.Node{
			node("Concat", "b1 eight minus1", "t", num("axis", 0)), node("Reshape", "x t", "y0"),
			node("Concat", "b1 minus1 eight", "t2", num("axis", 0)), node("Reshape", "y0 t2", "y"),
		}, "float32[batch,?,8]"},
		{"windows and back", "float32[batch,16,2,4]", []*onnxio.Node{
			node("Mul", "b1 eight", "b8"), node("Concat", "b8 minus1", "t", num("axis", 0)), node("Reshape", "x t",
				"y0"),
			node("Div", "b8 eight", "b2"), node("Concat", "b2 minus1", "t2", num("axis", 0)), node("Reshape", "y0 t2",
				"y"),
		}, "float32[batch,128]"},
		{"expanded token", "float32[batch,3]", []*onnxio.Node{
			node("Concat", "b1 minus1 eight", "t", num("axis", 0)),
			node("ConstantOfShape", "axis1", "ones",
				&onnxio.Attribute{
					Name: "value", Type: onnxio.AttrTensor,
					T: onnxio.NewTensor("", []int64{1}, []int64{1}),
				}),
			node("Equal", "t minus1", "e"), node("Where", "e ones t", "target"), node("Expand", "two target", "y"),
		}, "float32[batch,1,8]"},
		{"scaled size", "float32[batch,1,6,5]", []*onnxio.Node{
			node("Slice", "s axis2 axis4", "hw"), node("Cast", "hw", "f", num("to", 1)), node("Mul", "f two",
				"g"), node("Floor", "g", "fl"),
			node("Cast", "fl", "hw2", num("to", 7)), node("Slice", "s axis0 axis2", "nc"),
			node("Concat", "nc hw2", "sizes", num("axis", 0)),
			{Name: "r", OpType: "Resize", Inputs: []string{"x", "", "", "sizes"}, Outputs: []string{"y"}},
		}, "float32[batch,1,12,10]"},
		{"through int32", "float32[batch,4,4]", []*onnxio.Node{
			node("Cast", "s", "s32", num("to", 6)), node("ReduceProd", "s32", "p", num("keepdims", 1)), node("Cast",
				"p", "p64", num("to", 7)),
			node("Reshape", "x p64", "y"),
		}, "float32[?]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := model(t, c.x, append(append([]*onnxio.Node(nil), size...), c.nodes...)...)
			m.Graph.Initializers = append(m.Graph.Initializers,
				onnxio.NewTensor("axis1", []int64{1}, []int64{3}),
				onnxio.NewTensor("axis2", []int64{1}, []int64{2}), onnxio.NewTensor("axis4", []int64{1}, []int64{4}))
			if got := typeOf(t, m, nil, "y"); got != c.want {
				t.Errorf("y is %s, want %s", got, c.want)
			}
		})
	}
}

func TestOverride(t *testing.T) {
	build := func() *onnxio.Model {
		m := model(t, "float32[batch,3,h,8]", node("Relu", "x", "r"), node("Add", "r z", "y"))
		m.Graph.Inputs = append(m.Graph.Inputs,
			&onnxio.ValueInfo{Name: "z", Type: parseType(t, "float32[batch,1,1,1]")})
		m.Graph.ValueInfos = []*onnxio.ValueInfo{{Name: "r", Type: parseType(t, "float32[batch,3,h,8]")}}
		return m
	}
	for _, c := range []struct {
		inputs    map[string][]int64
		want, err string
	}{
		{nil, "float32[batch,3,h,8]", ""},
		{map[string][]int64{"x": {4, -1, -1, -1}}, "float32[4,3,h,8]", ""}, // z follows: one symbol
		{map[string][]int64{"x": {-1, 3, 16, 8}}, "float32[batch,3,16,8]", ""},
		{map[string][]int64{"x": {0, -1, -1, -1}}, "float32[0,3,h,8]", ""},
		{
			map[string][]int64{"x": {-1, 3, 16, 9}},
			"float32[batch,3,16,9]",
			"",
		}, // r is declared for 8, which is not looked at
		{
			map[string][]int64{"x": {1, 3, 8}},
			"",
			`input "x": given shape [1 3 8] has rank 3; the model declares [batch,3,h,8]`,
		},
		{map[string][]int64{"x": {1, 3, 8, -2}}, "", "dimension -2 is negative"},
		{map[string][]int64{"x": {2, 3, 8, 8}, "z": {3, 1, 1, 1}}, "", "another dimension of that name is 2"},
		{map[string][]int64{"q": {1}}, "", `the model has no input "q"`},
		{map[string][]int64{"two": {1}}, "", `the model has no input "two"`},
		{map[string][]int64{"x": {math.MaxInt64, 3, 8, 8}}, "", "2^63"},
	} {
		info, err := shape.Infer(build(), shape.Options{Inputs: c.inputs, Evaluate: constants.Evaluate})
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%v: got error %v, want %q", c.inputs, err, c.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%v: %v", c.inputs, err)
			continue
		}
		if got, _ := info.Type("y"); formatType(got) != c.want {
			t.Errorf("%v: y is %s, want %s", c.inputs, formatType(got), c.want)
		}
	}
}

func TestDeclared(t *testing.T) {
	for _, c := range []struct{ x, declared, want, err string }{
		{"float32[batch,3]", "float32[batch,3]", "float32[batch,3]", ""},
		{"float32[?,3]", "float32[n,3]", "float32[n,3]", ""},
		{"float32[batch,3]", "float32[n,3]", "float32[batch,3]", ""},
		{"float32[batch,?]", "float32[batch,7]", "float32[batch,7]", ""},
		{"float32[batch,?]", "float32[2,7]", "float32[batch,7]", ""}, // 2 is the exporter's example
		{"float32[...]", "float32[batch,7]", "float32[batch,7]", ""},
		{"undefined[2]", "float32[...]", "float32[2]", ""},
		{"float32[2]", "float64[2]", "", `output "y" is float32, but the model declares float64`},
	} {
		m := model(t, c.x, node("Relu", "x", "y"))
		m.Graph.Outputs[0].Type = parseType(t, c.declared)
		info, err := shape.Infer(m, shape.Options{Evaluate: constants.Evaluate})
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s against %s: got error %v, want %q", c.x, c.declared, err, c.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s against %s: %v", c.x, c.declared, err)
			continue
		}
		if got, _ := info.Type("y"); formatType(got) != c.want {
			t.Errorf("%s against %s: y is %s, want %s", c.x, c.declared, formatType(got), c.want)
		}
	}
}

// A declared shape that is wrong is left out, whole, and reported.
func TestContradictions(t *testing.T) {
	m := model(t, "float32[batch,h,3]", node("Relu", "x", "a"), node("Relu", "a", "b"), node("Relu", "b", "y"))
	m.Graph.ValueInfos = []*onnxio.ValueInfo{
		{Name: "a", Type: parseType(t, "float32[batch,7,4]")},
		{Name: "b", Type: parseType(t, "float32[batch]")},
	}
	m.Graph.Outputs[0].Type = parseType(t, "float32[batch,5,3]")
	info, err := shape.Infer(m, shape.Options{Evaluate: constants.Evaluate})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"a": "float32[batch,h,3]", "b": "float32[batch,h,3]",
		"y": "float32[batch,5,3]",
	} {
		if got, _ := info.Type(name); formatType(got) != want {
			t.Errorf("%s is %s, want %s", name, formatType(got), want)
		}
	}
	want := []string{
		`node "n_Relu" (Relu): output "a" has shape [batch,h,3], but the model declares [batch,7,4]`,
		`node "n_Relu" (Relu): output "b" has shape [batch,h,3], but the model declares [batch]`,
	}
	if got := fmt.Sprint(info.Contradictions()); got != fmt.Sprint(want) {
		t.Errorf("got %s, want %v", got, want)
	}
}

// TestNameless: what exporters call ? may be several sizes, but for the batch.
func TestNameless(t *testing.T) {
	for _, name := range []string{"?", "None", "-1", " ? "} {
		open := onnxio.Symbol(name)
		m := model(t, "float32[1]", node("Relu", "x", "r"), node("Add", "r z", "y"))
		m.Graph.Inputs[0].Type.Shape = onnxio.Shape{open, open, open, open}
		m.Graph.Inputs = append(m.Graph.Inputs,
			&onnxio.ValueInfo{Name: "z", Type: onnxio.TensorType{
				Elem: onnxio.Float32, HasShape: true,
				Shape: onnxio.Shape{open, open, onnxio.Fixed(1), onnxio.Fixed(1)},
			}})
		m.Graph.ValueInfos = []*onnxio.ValueInfo{{
			Name: "r",
			Type: onnxio.TensorType{Elem: onnxio.Float32, HasShape: true, Shape: onnxio.Shape{open, open, open, open}},
		}}
		batch := "float32[" + name + ",3,8,9]"
		for want, inputs := range map[string]map[string][]int64{
			batch:              {"x": {-1, 3, 8, 9}, "z": {-1, 1, -1, -1}},
			"float32[4,3,8,9]": {"x": {4, 3, 8, 9}, "z": {1, 1, -1, -1}}, // z is another 1
			"float32[5,3,8,9]": {"x": {5, 3, 8, 9}},                      // z has the batch of x
		} {
			if got := typeOf(t, m, inputs, "r"); got != want {
				t.Errorf("%q: r is %s, want %s", name, got, want)
			}
		}
		if got := typeOf(t, m, map[string][]int64{"x": {5, 3, 8, 9}}, "z"); got != "float32[5,?,1,1]" {
			t.Errorf("%q: z is %s", name, got)
		}
	}
}

func TestUnknown(t *testing.T) {
	custom := node("Thing", "x", "u")
	custom.Domain = "com.example"
	m := model(t, "float32[batch,3]", custom, node("Relu", "u", "y"))
	m.Graph.ValueInfos = []*onnxio.ValueInfo{{Name: "u", Type: parseType(t, "float32[batch,9]")}}
	info, err := shape.Infer(m, shape.Options{Evaluate: constants.Evaluate})
	if err != nil {
		t.Fatal(err)
	}
	if u := info.Unknown(); len(u) != 1 || u[0] != custom {
		t.Errorf("unknown nodes are %v, want the custom one", u)
	}
	if got, _ := info.Type("y"); formatType(got) != "float32[batch,9]" {
		t.Errorf("y is %s", formatType(got))
	}
	// A function of the model hides the operator of its name.
	m = model(t, "float32[batch,3]", node("Relu", "x", "y"))
	m.Functions = []*onnxio.Function{{Name: "Relu"}}
	if got := typeOf(t, m, nil, "y"); got != "undefined[...]" {
		t.Errorf("the result of a function is %s", got)
	}
	// Operator sets older or newer than those known.
	for _, version := range []int64{0, 6, 99} {
		m = model(t, "float32[batch,3]", node("Relu", "x", "y"))
		m.Opsets[0].Version = version
		if got := typeOf(t, m, nil, "y"); got != "undefined[...]" {
			t.Errorf("operator set %d: y is %s", version, got)
		}
	}
	if _, err := shape.Infer(model(t, "float32[1]", node("Relu", "nowhere", "y")), shape.Options{}); err == nil ||
		!strings.Contains(err.Error(), `input "nowhere" is computed by no node before this one`) {
		t.Errorf("dangling input: %v", err)
	}
	if _, err := shape.Infer(&onnxio.Model{}, shape.Options{}); err == nil {
		t.Error("a model without a graph is accepted")
	}
}

func TestIf(t *testing.T) {
	branch := func(op string) *onnxio.Graph {
		return &onnxio.Graph{Nodes: []*onnxio.Node{node(op, "x", "o")}, Outputs: []*onnxio.ValueInfo{{Name: "o"}}}
	}
	for condition, want := range map[string]string{
		"yes": "float32[batch,3]", "no": "int64[2]",
		"open": "undefined[...]",
	} {
		m := model(t, "float32[batch,3]", node("If", condition, "y",
			&onnxio.Attribute{Name: "then_branch", Type: onnxio.AttrGraph, G: branch("Relu")},
			&onnxio.Attribute{Name: "else_branch", Type: onnxio.AttrGraph, G: branch("Shape")}))
		m.Graph.Inputs = append(m.Graph.Inputs, &onnxio.ValueInfo{Name: "open", Type: parseType(t, "bool[]")})
		m.Graph.Initializers = append(m.Graph.Initializers, onnxio.NewTensor("yes", nil, []bool{true}),
			onnxio.NewTensor("no", nil, []bool{false}))
		if got := typeOf(t, m, nil, "y"); got != want {
			t.Errorf("condition %s: y is %s, want %s", condition, got, want)
		}
	}
}

// TestSquaring multiplies a symbol with itself until a product that was kept
// exactly would fill the memory.
func TestSquaring(t *testing.T) {
	nodes := []*onnxio.Node{node("Shape", "x", "v0")}
	for i := range 60 {
		a, b := "v"+string(rune('0'+i)), "v"+string(rune('1'+i))
		nodes = append(nodes, node("Mul", a+" "+a, b))
	}
	if got := typeOf(t, model(t, "float32[batch,h]", nodes...), nil, nodes[60].Outputs[0]); got != "int64[2]" {
		t.Errorf("got %s", got)
	}
}

func FuzzInfer(f *testing.F) {
	var cases []struct{ Model []byte }
	load(f, "node_cases.json.gz", &cases)
	for i := 0; i < len(cases); i += 40 {
		f.Add(cases[i].Model)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := onnxio.ReadFrom(bytes.NewReader(b))
		if err != nil || m.Graph == nil {
			return
		}
		info, err := shape.Infer(m, shape.Options{Evaluate: constants.Evaluate})
		if err != nil {
			return
		}
		for _, n := range m.Graph.Nodes {
			for _, o := range n.Outputs {
				v, ok := info.Type(o)
				if !ok && o != "" {
					t.Errorf("no value %q", o)
				}
				for _, d := range v.Shape {
					if d.Value < -1 {
						t.Errorf("value %q has shape %v", o, v.Shape)
					}
				}
				info.Ints(o)
			}
		}
	})
}
