package onnxio

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func TestCheckAcceptsTestdata(t *testing.T) {
	for _, path := range testModels(t) {
		m, err := Read(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Check(); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// tiny is tinyModel, read.
func tiny(t *testing.T) *Model {
	t.Helper()
	m, err := ReadFrom(bytes.NewReader(marshal(t, tinyModel())))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// branch returns a branch of the model's If.
func branch(m *Model, name string) *Graph { return m.Graph.Nodes[1].Attr(name).G }

// Each case breaks tinyModel in one way and expects exactly what that is.
func TestCheckFinds(t *testing.T) {
	relu := func(name, in, out string) *Node {
		return &Node{Name: name, OpType: "Relu", Inputs: []string{in}, Outputs: []string{out}}
	}
	for _, c := range []struct {
		name  string
		spoil func(m *Model)
		want  []string
	}{
		{"nothing", func(*Model) {}, nil},

		// the model
		{"no ir_version", func(m *Model) { m.IRVersion = 0 }, []string{`the model has no ir_version`}},
		{"future ir_version", func(m *Model) { m.IRVersion = 99 }, []string{`IR version 99 is not one of 1 to 14`}},
		{"no opset", func(m *Model) { m.Opsets = nil }, []string{
			`the model imports no operator set`,
			`node "conv" (Conv): the operator set of domain "" is not imported`,
			`node "if" (If): the operator set of domain "" is not imported`,
			`node "if" (If): then_branch: node "then_branch_y" (Relu): the operator set of domain "" is not imported`,
			`node "if" (If): else_branch: node "else_branch_y" (Abs): the operator set of domain "" is not imported`,
		}},
		{"opset twice", func(m *Model) { m.Opsets = append(m.Opsets, Opset{"ai.onnx", 17}) }, nil},
		{
			"opset in two versions", func(m *Model) { m.Opsets = append(m.Opsets, Opset{"ai.onnx", 13}) },
			[]string{`the operator set of domain "" is imported twice, in versions 17 and 13`},
		},
		{"statistics without training", func(m *Model) {
			m.Graph.Nodes = append(m.Graph.Nodes,
				&Node{
					Name: "bn", OpType: "BatchNormalization", Inputs: []string{"x", "w", "w", "w", "w"},
					Outputs: []string{"n", "mean", "var"},
				})
		}, []string{`node "bn" (BatchNormalization): 3 outputs outside training mode; want 1`}},
		{"training without statistics", func(m *Model) {
			m.Graph.Nodes = append(m.Graph.Nodes,
				&Node{
					Name: "bn", OpType: "BatchNormalization", Inputs: []string{"x", "w", "w", "w", "w"},
					Outputs: []string{"n"}, Attributes: []*Attribute{IntAttr("training_mode", 1)},
				})
		}, []string{`node "bn" (BatchNormalization): 1 outputs in training mode; want 3`}},
		{
			"future opset", func(m *Model) { m.Opsets[0].Version = 99 },
			[]string{`operator set 99 of domain "" is newer than 28, the newest known`},
		},
		{
			"opset 0", func(m *Model) { m.Opsets[1].Version = 0 },
			[]string{`operator set 0 of domain "local": versions start at 1`},
		},
		{"no graph", func(m *Model) { m.Graph = nil }, []string{`the model has no graph`}},
		{
			"metadata twice", func(m *Model) { m.Metadata = append(m.Metadata, Prop{"k", "w"}) },
			[]string{`metadata: key "k" is there twice`},
		},
		{"metadata not UTF-8", func(m *Model) { m.SetMeta("k", "\xff") }, []string{`metadata "k" "\xff" is not UTF-8`}},

		// the graph's values
		{"no graph name", func(m *Model) { m.Graph.Name = "" }, []string{`the graph has no name`}},
		{"input without name", func(m *Model) { m.Graph.Inputs[0].Name = "" }, []string{
			`input without a name`, `node "conv" (Conv): input "x": no node, input or initializer makes it`,
		}},
		{
			"input without type", func(m *Model) { m.Graph.Inputs[0] = &ValueInfo{Name: "x"} },
			[]string{`input "x": it has no type`},
		},
		{"input without shape", func(m *Model) { m.Graph.Inputs[0].Type.HasShape = false; m.Graph.Inputs[0].Type.Shape = nil }, []string{
			`input "x": it has no shape; one with unknown dimensions would do`,
		}},
		{
			"input of no known type", func(m *Model) { m.Graph.Inputs[0].Type.Elem = 77 },
			[]string{`input "x": unknown element type 77`},
		},
		{
			"negative dimension", func(m *Model) { m.Graph.Inputs[0].Type.Shape[1] = Fixed(-4) },
			[]string{`input "x": dimension 1 is -4`},
		},
		{
			"input twice", func(m *Model) { m.Graph.Inputs = append(m.Graph.Inputs, m.Graph.Inputs[0]) },
			[]string{`input "x": the name is taken by another value`},
		},
		{"input not UTF-8", func(m *Model) {
			m.Graph.Inputs = append(m.Graph.Inputs, &ValueInfo{Name: "\xff", Type: m.Graph.Inputs[0].Type})
		}, []string{`input "\xff" is not UTF-8`}},
		{
			"output nobody makes", func(m *Model) { m.Graph.Outputs[0].Name = "z" },
			[]string{`output "z": no node, input or initializer makes it`},
		},
		{"unknown dimensions", func(m *Model) { m.Graph.Outputs[0].Type.Shape = Shape{Symbol(""), Symbol("k")} }, nil},

		// initializers
		{"initializer twice", func(m *Model) {
			m.Graph.Initializers = append(m.Graph.Initializers,
				m.Graph.Initializers[0])
		}, []string{`initializer "w": there are two of that name`}},
		{"dense and sparse", func(m *Model) {
			m.Graph.Initializers = append(m.Graph.Initializers, NewTensor("b", []int64{1}, []float32{0}))
		}, []string{`initializer "b": there are two of that name`}},
		{"initializer without name", func(m *Model) {
			m.Graph.Initializers = append(m.Graph.Initializers,
				NewTensor("", nil, []float32{0}))
		}, []string{`initializer without a name`}},
		{"initializer too short", func(m *Model) {
			m.Graph.Initializers[0] = NewTensor("w", []int64{1, 1, 1, 2},
				[]float32{0})
		}, []string{
			`initializer "w": dimensions [1 1 1 2] of float32 need 8 bytes, got 4`,
		}},
		{
			"initializer of no type", func(m *Model) { m.Graph.Initializers[0] = &Tensor{Name: "w"} },
			[]string{`initializer "w": unknown element type 0`},
		},
		{"initializer without data", func(m *Model) {
			m.Graph.Initializers[0] = &Tensor{
				Name: "w", Type: Float32,
				Dims: []int64{1, 1, 1, 1},
			}
		}, []string{
			`initializer "w": it has no data`,
		}},
		{"initializer of impossible size", func(m *Model) {
			m.Graph.Initializers[0] = &Tensor{
				Name: "w", Type: Float32, Dims: []int64{1 << 40, 1 << 40},
				Data: rawData(nil),
			}
		}, []string{`initializer "w": dimensions [1099511627776 1099511627776]: dimensions multiply past 2^63`}},
		{"strings missing", func(m *Model) {
			m.Graph.Initializers = append(m.Graph.Initializers, &Tensor{Name: "s", Type: String, Dims: []int64{2}})
		}, []string{`initializer "s": dimensions [2] of string need 2 strings, got 0`}},
		{"packed values missing", func(m *Model) {
			m.Graph.Initializers = append(m.Graph.Initializers, &Tensor{Name: "s", Type: Int4, Dims: []int64{3}})
		}, []string{`initializer "s": dimensions [3] of int4 need 2 packed values, got 0`}},
		{"initializer is an input's default", func(m *Model) {
			m.Graph.Inputs = append(m.Graph.Inputs,
				&ValueInfo{Name: "w", Type: TensorType{
					Float32, true,
					Shape{Fixed(1), Symbol("k"), Fixed(1), Fixed(1)},
				}})
		}, nil},
		{"default of another type", func(m *Model) {
			m.Graph.Inputs = append(m.Graph.Inputs,
				&ValueInfo{Name: "w", Type: TensorType{Float64, true, Shape{Fixed(1)}}})
		}, []string{
			`initializer "w": it is float32, the input of that name float64`,
			`initializer "w": its dimensions are [1 1 1 1], those of the input of that name differ`,
		}},
		{"old initializer without input", func(m *Model) {
			m.IRVersion = 3
			m.Graph.SparseInitializers = nil
			m.Graph.Nodes[0].Inputs = []string{"x", "w"}
		}, []string{
			`initializer "w": IR version 3 wants it among the graph's inputs too`,
			`initializer "on": IR version 3 wants it among the graph's inputs too`,
		}},
		{"sparse unsorted", func(m *Model) {
			m.Graph.SparseInitializers[0] = &SparseTensor{
				NewTensor("b", []int64{2}, []float32{1, 2}),
				NewTensor("", []int64{2}, []int64{1, 1}),
				[]int64{4},
				rest{},
			}
		}, []string{`sparse initializer "b": index 1 is not greater than the one before; they must be sorted and distinct`}},
		{"sparse out of range", func(m *Model) {
			m.Graph.SparseInitializers[0] = &SparseTensor{
				NewTensor("b", []int64{2}, []float32{1, 2}),
				NewTensor("", []int64{2, 2}, []int64{0, 1, 1, 2}),
				[]int64{2, 2},
				rest{},
			}
		}, []string{`sparse initializer "b": index 1 lies outside the dimensions [2 2]`}},
		{"sparse indices of another shape", func(m *Model) {
			m.Graph.SparseInitializers[0].Indices = NewTensor("", []int64{1, 2}, []int64{0, 0})
		}, []string{`sparse initializer "b": indices are int64 of dimensions [1 2]; want int64 of [1] or [1 1]`}},
		{"sparse values of another shape", func(m *Model) {
			m.Graph.SparseInitializers[0].Values = NewTensor("b", []int64{1, 1}, []float32{0})
		}, []string{`sparse initializer "b": values of dimensions [1 1]; want one dimension`}},

		// nodes
		{
			"unknown operator", func(m *Model) { m.Graph.Nodes[0].OpType = "Convolve" },
			[]string{`node "conv" (Convolve): unknown operator`},
		},
		{
			"no operator", func(m *Model) { m.Graph.Nodes[0].OpType = "" },
			[]string{`node "conv" (): it has no operator`},
		},
		{"operator of a later opset", func(m *Model) {
			m.Graph.Nodes[0] = &Node{Name: "g", OpType: "Gelu", Inputs: []string{"x"}, Outputs: []string{"c"}}
		}, []string{
			`node "g" (Gelu): the operator came with operator set 20, and the model imports 17`,
		}},
		{"deprecated operator", func(m *Model) {
			m.Graph.Nodes[0] = &Node{Name: "u", OpType: "Upsample", Inputs: []string{"x", "w"}, Outputs: []string{"c"}}
		}, []string{`node "u" (Upsample): the operator is deprecated since operator set 10, and the model imports 17`}},
		{
			"domain not imported", func(m *Model) { m.Graph.Nodes[0].Domain = "com.example" },
			[]string{`node "conv" (com.example.Conv): the operator set of domain "com.example" is not imported`},
		},
		{"operators of others", func(m *Model) {
			m.Opsets = append(m.Opsets, Opset{"com.example", 3})
			m.Graph.Nodes[0].Domain, m.Graph.Nodes[0].OpType = "com.example", "Fancy"
		}, nil},
		{"the default domain by name", func(m *Model) { m.Graph.Nodes[0].Domain = "ai.onnx" }, nil},
		{
			"too few inputs", func(m *Model) { m.Graph.Nodes[0].Inputs = []string{"x"} },
			[]string{`node "conv" (Conv): 1 inputs; want 2 to 3`},
		},
		{
			"too many inputs", func(m *Model) { m.Graph.Nodes[0].Inputs = []string{"x", "w", "b", "b"} },
			[]string{`node "conv" (Conv): 4 inputs; want 2 to 3`},
		},
		{
			"needed input left out", func(m *Model) { m.Graph.Nodes[0].Inputs = []string{"x", "", "b"} },
			[]string{`node "conv" (Conv): input 1 is left out, but the operator needs it`},
		},
		{"optional input left out", func(m *Model) { m.Graph.Nodes[0].Inputs = []string{"x", "w", ""} }, nil},
		{
			"too many outputs", func(m *Model) { m.Graph.Nodes[0].Outputs = []string{"c", "c2"} },
			[]string{`node "conv" (Conv): 2 outputs; want 1`},
		},
		{"output left out", func(m *Model) { m.Graph.Nodes = append(m.Graph.Nodes, relu("r", "y", "")) }, nil},
		{
			"node not UTF-8", func(m *Model) { m.Graph.Nodes[0].Name = "\xff" },
			[]string{`node "\xff" (Conv): name "\xff" is not UTF-8`},
		},

		// attributes
		{"unknown attribute", func(m *Model) {
			m.Graph.Nodes[0].Attributes = append(m.Graph.Nodes[0].Attributes, IntAttr("stride", 2))
		}, []string{`node "conv" (Conv): unknown attribute "stride"`}},
		{"attribute of another type", func(m *Model) { m.Graph.Nodes[0].Attributes = []*Attribute{IntAttr("kernel_shape", 1)} }, []string{`node "conv" (Conv): attribute "kernel_shape": want ints, got int`}},
		{
			"attribute missing", func(m *Model) { m.Graph.Nodes[1].Attributes = m.Graph.Nodes[1].Attributes[:1] },
			[]string{`node "if" (If): attribute "else_branch" is missing`},
		},
		{"attribute twice", func(m *Model) {
			m.Graph.Nodes[0].Attributes = []*Attribute{
				IntAttr("group", 1),
				IntAttr("group", 1),
			}
		}, []string{`node "conv" (Conv): attribute "group" is there twice`}},
		{
			"attribute without name", func(m *Model) { m.Graph.Nodes[0].Attributes = []*Attribute{IntAttr("", 1)} },
			[]string{
				`node "conv" (Conv): unknown attribute ""`, `node "conv" (Conv): attribute without a name`,
			},
		},
		{
			"attribute without value", func(m *Model) { m.Graph.Nodes[1].Attr("then_branch").G = nil },
			[]string{`node "if" (If): attribute "then_branch" has no value`},
		},
		{"reference outside a function", func(m *Model) { m.Graph.Nodes[0].Attributes[0].RefName = "k" }, []string{
			`node "conv" (Conv): attribute "kernel_shape" refers to "k", which is no attribute of a function that it is in`,
		}},
		{"constant without value", func(m *Model) {
			m.Graph.Nodes = append(m.Graph.Nodes, &Node{Name: "k", OpType: "Constant", Outputs: []string{"k"}})
		}, []string{`node "k" (Constant): 0 values; want one`}},
		{"short tensor in an attribute", func(m *Model) {
			value := &Attribute{Name: "value", Type: AttrTensor, T: NewTensor("t", []int64{2}, []float32{1})}
			m.Graph.Nodes = append(m.Graph.Nodes,
				&Node{Name: "k", OpType: "Constant", Outputs: []string{"k"}, Attributes: []*Attribute{value}})
		}, []string{`node "k" (Constant): attribute value: tensor "t": dimensions [2] of float32 need 8 bytes, got 4`}},

		// order
		{
			"dangling input", func(m *Model) { m.Graph.Nodes[0].Inputs[0] = "nowhere" },
			[]string{`node "conv" (Conv): input "nowhere": no node, input or initializer makes it`},
		},
		{"wrong order", func(m *Model) { slices.Reverse(m.Graph.Nodes[:2]) }, []string{
			`node "if" (If): then_branch: node "then_branch_y" (Relu): input "c": no node, input or initializer makes it`,
			`node "if" (If): else_branch: node "else_branch_y" (Abs): input "c": no node, input or initializer makes it`,
		}},
		{"used before it is made", func(m *Model) {
			m.Graph.Nodes = append([]*Node{relu("early", "c", "e")},
				m.Graph.Nodes...)
		}, []string{
			`node "early" (Relu): input "c" is made by node "conv", which comes later`,
		}},
		{"cycle", func(m *Model) {
			m.Graph.Nodes = append(m.Graph.Nodes, relu("p", "r", "q"), relu("s", "q", "r"), relu("after", "r", "t"))
		}, []string{`node "p" (Relu): it is part of a cycle: p, s`}},
		{
			"node that needs itself", func(m *Model) { m.Graph.Nodes = append(m.Graph.Nodes, relu("p", "q", "q")) },
			[]string{`node "p" (Relu): it is part of a cycle: p`},
		},
		{
			"value made twice", func(m *Model) { m.Graph.Nodes = append(m.Graph.Nodes, relu("again", "x", "c")) },
			[]string{`node "again" (Relu): output "c": the name is taken by another value`},
		},
		{
			"value made of an initializer's name",
			func(m *Model) {
				m.Graph.Nodes = append(m.Graph.Nodes,
					relu("again", "x", "w"))
			},
			[]string{`node "again" (Relu): output "w": the name is taken by another value`},
		},

		// subgraphs
		{
			"value of an inner graph outside", func(m *Model) { m.Graph.Outputs[0].Name = "then_branch_y" },
			[]string{`output "then_branch_y": no node, input or initializer makes it`},
		},
		{"inner value hides an outer one", func(m *Model) {
			g := branch(m, "else_branch")
			g.Nodes[0].Outputs[0], g.Outputs[0].Name = "x", "x"
		}, []string{`node "if" (If): else_branch: node "x" (Abs): output "x": the name is taken by another value`}},
		{
			"branch of other outputs", func(m *Model) { branch(m, "then_branch").Outputs = nil },
			[]string{`node "if" (If): then_branch: the graph has 0 outputs; want 1`},
		},
		{
			"branch with an input", func(m *Model) { branch(m, "then_branch").Inputs = []*ValueInfo{{Name: "i"}} },
			[]string{`node "if" (If): then_branch: the graph has 1 inputs; want 0`},
		},

		// functions
		{
			"function twice", func(m *Model) { m.Functions = append(m.Functions, m.Functions[0]) },
			[]string{`function "Twice": there are two of that domain, name and overload`},
		},
		{"function without opset", func(m *Model) { m.Functions[0].Opsets = nil }, []string{
			`function "Twice": it imports no operator set`, `function "Twice": node "b" (Add): the operator set of domain "" is not imported`,
		}},
		{
			"function output nobody makes", func(m *Model) { m.Functions[0].Outputs = []string{"z"} },
			[]string{`function "Twice": output "z": no node or input makes it`},
		},
		{
			"function sees no outer values", func(m *Model) { m.Functions[0].Nodes[0].Inputs[1] = "w" },
			[]string{`function "Twice": node "b" (Add): input "w": no node, input or initializer makes it`},
		},
		{"function calls itself", func(m *Model) {
			m.Functions[0].Nodes[0] = &Node{
				OpType: "Twice", Domain: "local", Inputs: []string{"a"},
				Outputs: []string{"b"},
			}
		}, []string{
			`function "Twice": it calls itself; the call of "Twice" leads back`,
		}},
		{
			"call with too many inputs", func(m *Model) { m.Graph.Nodes[2].Inputs = []string{"d", "d"} },
			[]string{`node "call" (local.Twice): 2 inputs; want 0 to 1`},
		},
		{
			"call with an unknown attribute",
			func(m *Model) {
				m.Graph.Nodes[2].Attributes = []*Attribute{IntAttr("k",
					1)}
			},
			[]string{`node "call" (local.Twice): unknown attribute "k"`},
		},
		{"function attribute", func(m *Model) {
			m.Functions[0].Attributes = []string{"k"}
			m.Functions[0].Nodes[0] = &Node{
				OpType: "LeakyRelu", Inputs: []string{"a"}, Outputs: []string{"b"},
				Attributes: []*Attribute{{Name: "alpha", Type: AttrFloat, RefName: "k"}},
			}
			m.Graph.Nodes[2].Attributes = []*Attribute{FloatAttr("k", 1)}
		}, nil},
		{
			"function attribute twice", func(m *Model) { m.Functions[0].Attributes = []string{"k", "k"} },
			[]string{`function "Twice": attribute "k" is there twice`},
		},
	} {
		m := tiny(t)
		c.spoil(m)
		var got []string
		if err := m.Check(); err != nil {
			got = strings.Split(err.Error(), "\n")
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s:\n got %q\nwant %q", c.name, got, c.want)
		}
	}
}

// TestCheckImports: what runtimes take for one domain, onnx.checker tells apart.
func TestCheckImports(t *testing.T) {
	m := tiny(t)
	if err := m.CheckImports(); err != nil {
		t.Error(err)
	}
	m.Graph.Nodes[0].Domain = "ai.onnx"
	if err := m.CheckImports(); err == nil ||
		err.Error() != `node "conv" (Conv): the operator set of domain "ai.onnx" is not imported under that name` {
		t.Errorf("%v", err)
	}
	if err := m.Check(); err != nil {
		t.Errorf("Check: %v", err)
	}
}

// All that is wrong is reported, and errors about nodes can be told apart.
func TestCheckFindsAll(t *testing.T) {
	m := tiny(t)
	m.IRVersion = 0
	m.Graph.Nodes[0].OpType = "Convolve"
	m.Graph.Nodes[2].Inputs[0] = "nowhere"
	err := m.Check()
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok || len(joined.Unwrap()) != 3 {
		t.Fatalf("got %v, want three errors", err)
	}
	var node *NodeError
	if !errors.As(err, &node) || node.Node != "conv" || node.Op != "Convolve" {
		t.Errorf("got node error %+v", node)
	}
}

// The checker must not need a stack as deep as a graph is long, nor time that
// grows with its square.
func TestCheckOfLongChains(t *testing.T) {
	m := tiny(t)
	last := "y"
	for i := range 50_000 {
		next := "v" + strconv.Itoa(i)
		m.Graph.Nodes = append(m.Graph.Nodes, &Node{OpType: "Relu", Inputs: []string{last}, Outputs: []string{next}})
		last = next
	}
	if err := m.Check(); err != nil {
		t.Error(err)
	}
	slices.Reverse(m.Graph.Nodes[3:])
	if err := m.Check(); err == nil || !strings.Contains(err.Error(), "which comes later") {
		t.Errorf("a reversed chain: %.200v", err)
	}
}

func TestLookupOp(t *testing.T) {
	for _, c := range []struct {
		domain, op string
		opset      int64
		since      int64 // 0: unknown
		deprecated bool
		in, out    [2]int
	}{
		{"", "Conv", 1, 1, false, [2]int{2, 3}, [2]int{1, 1}},
		{"", "Conv", 10, 1, false, [2]int{2, 3}, [2]int{1, 1}},
		{"ai.onnx", "Conv", 17, 11, false, [2]int{2, 3}, [2]int{1, 1}},
		{"", "BatchNormalization", 8, 7, false, [2]int{5, 5}, [2]int{1, 5}},
		{"", "BatchNormalization", 17, 15, false, [2]int{5, 5}, [2]int{1, 3}},
		{"", "Concat", 13, 13, false, [2]int{1, -1}, [2]int{1, 1}},
		{"", "Upsample", 10, 10, true, [2]int{2, 2}, [2]int{1, 1}},
		{"", "Gelu", 19, 0, false, [2]int{}, [2]int{}},
		{"", "Nothing", 17, 0, false, [2]int{}, [2]int{}},
		{"com.example", "Conv", 17, 0, false, [2]int{}, [2]int{}},
		{"ai.onnx.ml", "Scaler", 2, 1, false, [2]int{1, 1}, [2]int{1, 1}},
	} {
		s, ok := LookupOp(c.domain, c.op, c.opset)
		if ok != (c.since > 0) {
			t.Errorf("%s %s %d: found is %v", c.domain, c.op, c.opset, ok)
		}
		if !ok {
			continue
		}
		in, out := [2]int{s.MinInputs, s.MaxInputs}, [2]int{s.MinOutputs, s.MaxOutputs}
		if s.SinceVersion != c.since || s.Deprecated != c.deprecated || in != c.in || out != c.out {
			t.Errorf("%s %s %d: got %+v", c.domain, c.op, c.opset, s)
		}
	}
	conv, _ := LookupOp("", "Conv", 17)
	a, ok := conv.Attribute("kernel_shape")
	if !ok || a.Type != AttrInts || a.Required {
		t.Errorf("Conv's kernel_shape is %+v", a)
	}
	concat, _ := LookupOp("", "Concat", 13)
	if a, _ := concat.Attribute("axis"); a.Type != AttrInt || !a.Required {
		t.Errorf("Concat's axis is %+v", a)
	}
	if LatestOpset("") != 28 || LatestOpset("com.example") != 0 {
		t.Errorf("the newest operator set is %d", LatestOpset(""))
	}
}

// TestSupportedOp: a version in between that was deprecated is supported, the last
// one is not.
func TestSupportedOp(t *testing.T) {
	if latest := LatestOpset(""); NewestOpset > latest {
		t.Errorf("opset %d is supported, and the schemas go to %d", NewestOpset, latest)
	}
	for _, c := range []struct {
		domain, op  string
		opset       int64
		since, most int
		err         string
	}{
		{"ai.onnx", "Conv", 7, 1, 3, ""},
		{"", "Pad", 7, 2, 4, ""},
		{"", "Concat", 13, 13, -1, ""},
		{"", "GroupNormalization", 18, 18, 3, ""},
		{"", "Upsample", 9, 9, 2, ""},
		{"", "Upsample", 10, 0, 0, "the operator is deprecated since operator set 10, and the model imports 10"},
		{"", "Gelu", 19, 0, 0, "the operator came with operator set 20, and the model imports 19"},
		{"", "Convolve", 17, 0, 0, "unknown operator"},
		{"com.example", "Conv", 17, 0, 0, "unknown operator"},
		{"", "Conv", 6, 0, 0, "opset 6 is not supported; export the model with opset 7 to 28"},
		{"", "Conv", 29, 0, 0, "opset 29 is not supported; export the model with opset 7 to 28"},
	} {
		s, err := SupportedOp(&Node{Domain: c.domain, OpType: c.op}, c.opset)
		switch {
		case c.err != "":
			if err == nil || err.Error() != c.err {
				t.Errorf("%s %d: got %v, want %s", c.op, c.opset, err, c.err)
			}
		case err != nil:
			t.Errorf("%s %d: %v", c.op, c.opset, err)
		case s.SinceVersion != int64(c.since) || s.MostInputs != c.most:
			t.Errorf("%s %d: version %d with up to %d inputs, want %d and %d", c.op, c.opset, s.SinceVersion,
				s.MostInputs, c.since, c.most)
		}
	}
}

func TestCheckArity(t *testing.T) {
	conv, _ := LookupOp("", "Conv", 17)
	for inputs, want := range map[string]string{
		"x w": "", "x w b": "", "x w ": "", "x": "1 inputs; want 2 to 3", "x w b c": "4 inputs; want 2 to 3",
		"x  b": "input 1 is left out, but the operator needs it",
	} {
		got := ""
		if err := conv.CheckArity(&Node{Inputs: strings.Split(inputs, " "), Outputs: []string{"y"}}); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%q: %s, want %s", inputs, got, want)
		}
	}
	if err := conv.CheckArity(&Node{Inputs: []string{"x", "w"}, Outputs: []string{"y", "z"}}); err == nil ||
		err.Error() != "2 outputs; want 1" {
		t.Errorf("two outputs: %v", err)
	}
}

// TestCheckLongSparse: the indices of a sparse tensor, which may be generated, are checked
// in blocks, and their order across them.
func TestCheckLongSparse(t *testing.T) {
	const entries = 1 << 20
	check := func(repeated int) error {
		return (&SparseTensor{
			Dims:   []int64{2, entries},
			Values: &Tensor{Name: "s", Type: Float32, Dims: []int64{entries}, Data: rawData(nil)},
			Indices: &Tensor{
				Type: Int64, Dims: []int64{entries, 2},
				Data: Generate(16*entries, func(w io.Writer) error {
					index := make([]byte, 16)
					for i := range entries {
						at := i
						if i == repeated {
							at--
						}
						binary.LittleEndian.PutUint64(index[8:], uint64(at))
						if _, err := w.Write(index); err != nil {
							return err
						}
					}
					return nil
				}),
			},
		}).checkOrder(2 * entries)
	}
	for _, i := range []int{1, indexBlock, 2*indexBlock + 1, entries - 1} {
		if err := check(i); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("index %d is not greater", i)) {
			t.Errorf("index %d is there twice: %v", i, err)
		}
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if err := check(-1); err != nil {
		t.Error(err)
	}
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > 4<<20 {
		t.Errorf("%d bytes allocated to check indices of %d", got, 16*entries)
	}
}
