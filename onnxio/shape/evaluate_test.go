package shape_test

import (
	"fmt"
	"strings"
	"testing"

	"efcn/internal/constants"
	"efcn/onnxio"
	"efcn/onnxio/shape"
)

// step is one node of a chain that starts from s, the shape of x
// float32[batch,3,8,6]. A word of args is the value of an earlier step, by number
// from 1, the list of integers "2,-1" (or "+2") or the scalar "#3"; numbers with a
// point are float32.
type step struct {
	op    string
	args  string
	attrs []*onnxio.Attribute
}

// TestFollowed follows integers through chains of what exporters write. The right
// values were worked out by NumPy's rules, by hand.
func TestFollowed(t *testing.T) {
	to := func(elem onnxio.DataType) []*onnxio.Attribute { return attrs(num("to", int64(elem))) }
	tests := []struct {
		name  string
		steps []step
		want  string
	}{
		{"TorchScript's F.pad", []step{
			{"Concat", "1,2,3 s 0", attrs(num("axis", 0))},
			{"Reshape", "1 -1,2", nil},
			{"Slice", "2 -1 -9223372036854775807 0 -1", nil},
			{"Transpose", "3", attrs(ints("perm", 1, 0))},
			{"Reshape", "4 -1", nil},
		}, "6 3 3 1 0 8 batch 2"},
		{"transposed without perm", []step{
			{"Reshape", "s 2,2", nil},
			{"Transpose", "1", nil},
			{"Flatten", "2", attrs(num("axis", 0))},
			{"Squeeze", "3 0", nil},
		}, "batch 8 3 6"},
		{"ScatterND", []step{{"Unsqueeze", "2,3 1", nil}, {"ScatterND", "s 1 16,12", nil}}, "batch 3 16 12"},
		{"ScatterND puts the batch", []step{
			{"Slice", "s +0 +1", nil},
			{"Unsqueeze", "+1 +1", nil},
			{"ScatterND", "5,6,7 2 1", nil},
		}, "5 batch 7"},
		{"ScatterND that adds", []step{
			{"Unsqueeze", "2 1", nil},
			{"ScatterND", "9,9,9 1 4", attrs(str("reduction", "add"))},
		}, "9 9 13"},
		{"ScatterElements", []step{{"ScatterElements", "s 3,1 1,2", nil}}, "batch 2 8 1"},
		{"Compress", []step{{"Cast", "1,0,1", to(onnxio.Bool)}, {"Compress", "5,6,7,8 1", nil}}, "5 7"},
		{"the size that Compress leaves", []step{
			{"Cast", "1,0,0,1", to(onnxio.Bool)}, {"Reshape", "1,2,3,4,5,6,7,8 2,4", nil}, {
				"Compress", "2 1",
				attrs(num("axis", -1)),
			}, {"Shape", "3", nil},
		}, "2 2"},
		{"GatherElements", []step{{"GatherElements", "s 3,0", nil}}, "6 batch"},
		{"GatherND", []step{{"Unsqueeze", "0,2 1", nil}, {"GatherND", "s 1", nil}}, "batch 8"},
		{"Where on a mask", []step{{"Equal", "s 3,3,3,3", nil}, {"Where", "1 9 s", nil}}, "? 9 8 6"},
		{
			"tiled rows",
			[]step{{"Reshape", "s 1,4", nil}, {"Tile", "1 2,1", nil}, {"Reshape", "2 -1", nil}},
			"batch 3 8 6 batch 3 8 6",
		},
		{
			"expanded",
			[]step{{"Reshape", "s 4,1", nil}, {"Expand", "1 4,2", nil}, {"Reshape", "2 -1", nil}},
			"batch batch 3 3 8 8 6 6",
		},
		{"a matrix split", []step{
			{"Reshape", "s 2,2", nil},
			{"Split", "1 1,1", attrs(num("axis", 1))},
			{"Squeeze", "2 +1", nil},
		}, "batch 8"},
		{"concatenated rows", []step{
			{"Reshape", "s 2,2", nil},
			{"Concat", "1 1", attrs(num("axis", 1))},
			{"Reshape", "2 -1", nil},
		}, "batch 3 batch 3 8 6 8 6"},
		{"padded", []step{{"Pad", "s 1,0", nil}}, "0 batch 3 8 6"},
		{"halves in float, rounded up", []step{
			{"Cast", "s", to(onnxio.Float32)}, {"Mul", "1 1.,1.,.5,.75", nil}, {"Ceil", "2", nil}, {
				"Cast", "3",
				to(onnxio.Int64),
			},
		}, "batch 3 4 5"},
		{"a scale that is one only because the batch is the batch", []step{
			{"Cast", "s", to(onnxio.Float32)}, {"Div", "1 1", nil}, {"Cast", "2", to(onnxio.Int64)},
		}, "1 1 1 1"},
		{"an open float is not whole", []step{
			{"Cast", "s", to(onnxio.Float32)}, {"Mul", "1 .5,.5,.5,.5", nil}, {"Floor", "2", nil}, {
				"Cast", "3",
				to(onnxio.Int64),
			},
		}, "? 1 4 3"},
		{"powers and roots", []step{
			{"Slice", "s 2 4", nil},
			{"Cast", "1", to(onnxio.Float32)},
			{"Pow", "2 2.", nil},
			{"Sqrt", "3", nil},
			{"Cast", "4", to(onnxio.Int32)},
		}, "8 6"},
		{"sums along an axis", []step{
			{"Reshape", "1,2,3,4 2,2", nil},
			{"ReduceSum", "1 0", attrs(num("keepdims", 0))},
		}, "4 6"},
		{"running sum", []step{{"CumSum", "1,2,3 #0", nil}}, "1 3 6"},
		{"places of what is not zero", []step{{"NonZero", "0,5,0,7", nil}, {"Squeeze", "1 0", nil}}, "1 3"},
		{"the largest", []step{{"Slice", "s 1 4", nil}, {"ArgMax", "1", attrs(num("keepdims", 0))}}, "1"},
		{"product of matrices", []step{{"Reshape", "1,2,3,4 2,2", nil}, {"MatMul", "1 1,1", nil}}, "3 7"},
		{"Mod, Min, Max, Neg, Abs, Sign", []step{
			{"Slice", "s 1 4", nil}, {"Mod", "1 4", nil}, {"Neg", "2", nil}, {"Abs", "3", nil}, {
				"Sign", "4",
				nil,
			}, {"Max", "5 2", nil}, {"Min", "6 3", nil},
		}, "-3 0 -2"},
		{"through uint8 and int8", []step{
			{"Slice", "s 1 4", nil},
			{"Cast", "1", to(onnxio.Uint8)},
			{"Cast", "2", to(onnxio.Int8)},
			{"Cast", "3", to(onnxio.Int64)},
		}, "3 8 6"},
		{
			"what wraps around in uint8",
			[]step{{"Cast", "300,-1", to(onnxio.Uint8)}, {"Cast", "1", to(onnxio.Int64)}},
			"44 255",
		},
		{"a float Range", []step{
			{"Range", "#0. #1.5 #.5", nil},
			{"Mul", "1 2.", nil},
			{"Cast", "2", to(onnxio.Int64)},
		}, "0 1 2"},
		{"OneHot", []step{{"OneHot", "1,0 #3 0,7", nil}, {"Reshape", "1 -1", nil}}, "0 7 0 7 0 0"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			g := &onnxio.Graph{
				Name:   "g",
				Inputs: []*onnxio.ValueInfo{{Name: "x", Type: parseType(t, "float32[batch,3,8,6]")}},
				Nodes:  []*onnxio.Node{{OpType: "Shape", Inputs: []string{"x"}, Outputs: []string{"s"}}},
			}
			for i, s := range test.steps {
				name := string(rune('1' + i))
				n := &onnxio.Node{OpType: s.op, Attributes: s.attrs, Outputs: []string{name}}
				if s.op == "Split" {
					n.Outputs = append(n.Outputs, "rest")
				}
				for k, arg := range strings.Fields(s.args) {
					n.Inputs = append(n.Inputs, argument(t, g, arg, name+string(rune('a'+k)), i))
				}
				g.Nodes = append(g.Nodes, n)
			}
			last := string(rune('0' + len(test.steps)))
			m := &onnxio.Model{IRVersion: 8, Opsets: []onnxio.Opset{{Version: 18}}, Graph: g}
			info, err := shape.Infer(m, shape.Options{Evaluate: constants.Evaluate})
			if err != nil {
				t.Fatal(err)
			}
			got, ok := info.Ints(last)
			if formatInts(got) != test.want || !ok {
				t.Errorf("content %q (%t), want %q", formatInts(got), ok, test.want)
			}
			if c, ok := info.Constant(last); ok == strings.ContainsAny(test.want, "b?") {
				t.Errorf("Constant: %v, %t", c, ok)
			} else if ok {
				if list, err := onnxio.Ints(c); err != nil || len(list) != len(got) || list[0] != got[0].Value {
					t.Errorf("Constant is %v (%v), want %s", list, err, test.want)
				}
			}
		})
	}
}

// argument returns the name of an input, and adds it to g if it is a constant.
func argument(t *testing.T, g *onnxio.Graph, arg, name string, steps int) string {
	if arg == "s" || len(arg) == 1 && arg[0] >= '1' && int(arg[0]-'0') <= steps {
		return arg
	}
	text, scalar := strings.CutPrefix(arg, "#")
	fields := strings.Split(text, ",")
	dims := []int64{int64(len(fields))}
	if scalar {
		dims = nil
	}
	if strings.Contains(arg, ".") {
		g.Initializers = append(g.Initializers, onnxio.NewTensor(name, dims, parsed[float32](t, fields)))
	} else {
		g.Initializers = append(g.Initializers, onnxio.NewTensor(name, dims, parsed[int64](t, fields)))
	}
	return name
}

func parsed[T int64 | float32](t *testing.T, fields []string) []T {
	t.Helper()
	list := make([]T, len(fields))
	for i, f := range fields {
		if _, err := fmt.Sscan(f, &list[i]); err != nil {
			t.Fatalf("%q: %v", f, err)
		}
	}
	return list
}

// The value that an old Pad puts in is an attribute, and none of the elements that
// are followed.
func TestFollowedThroughOldPad(t *testing.T) {
	for value, want := range map[float32]string{0: "0 batch 3 8 6", 1: "", -1: ""} {
		m := &onnxio.Model{IRVersion: 5, Opsets: []onnxio.Opset{{Version: 10}}, Graph: &onnxio.Graph{
			Name:   "g",
			Inputs: []*onnxio.ValueInfo{{Name: "x", Type: parseType(t, "float32[batch,3,8,6]")}},
			Nodes: []*onnxio.Node{
				{OpType: "Shape", Inputs: []string{"x"}, Outputs: []string{"s"}},
				{
					OpType: "Cast", Inputs: []string{"s"}, Outputs: []string{"f"},
					Attributes: attrs(num("to", int64(onnxio.Float32))),
				},
				{
					OpType: "Pad", Inputs: []string{"f"}, Outputs: []string{"p"},
					Attributes: attrs(ints("pads", 1, 0), onnxio.FloatAttr("value", value)),
				},
				{
					OpType: "Cast", Inputs: []string{"p"}, Outputs: []string{"y"},
					Attributes: attrs(num("to", int64(onnxio.Int64))),
				},
			},
		}}
		info, err := shape.Infer(m, shape.Options{Evaluate: constants.Evaluate})
		if err != nil {
			t.Fatal(err)
		}
		got, _ := info.Ints("y")
		if formatInts(got) != want && !(want == "" && !strings.Contains(formatInts(got), "batch")) {
			t.Errorf("padded by %g: %q, want %q", value, formatInts(got), want)
		}
	}
}

// Without an evaluator only what the rules follow is known.
func TestInferWithoutEvaluator(t *testing.T) {
	m := model(t, "float32[2,3]",
		&onnxio.Node{OpType: "Shape", Inputs: []string{"x"}, Outputs: []string{"s"}},
		&onnxio.Node{OpType: "CumSum", Inputs: []string{"s", "axis"}, Outputs: []string{"y"}},
	)
	m.Graph.Initializers = append(m.Graph.Initializers, onnxio.NewTensor("axis", nil, []int64{0}))
	for _, evaluate := range []shape.Evaluator{nil, constants.Evaluate} {
		info, err := shape.Infer(m, shape.Options{Evaluate: evaluate})
		if err != nil {
			t.Fatal(err)
		}
		s, ok := info.Ints("s")
		if !ok || formatInts(s) != "2 3" {
			t.Errorf("the shape is %q", formatInts(s))
		}
		if _, ok := info.Ints("y"); ok != (evaluate != nil) {
			t.Errorf("the sum is known: %t", ok)
		}
	}
}
