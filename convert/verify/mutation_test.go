package verify_test

import (
	"context"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"efcn/convert"
	"efcn/convert/record"
	"efcn/convert/verify"
	"efcn/onnxio"
)

// mutable is a small CNN that has everything an eFCN is made of: a grouped,
// dilated convolution with a BatchNormalization multiplied in, one that becomes
// Mul and Add, a strided convolution, both poolings, a Transpose that becomes a
// Gather, a branch, and a dense layer.
func mutable() *onnxio.Model {
	b := newNetBuilder(3)
	b.m.Opsets[0].Version = 17
	b.shape = []int64{4, 8, 8}
	b.m.Graph.Inputs[0].Type = b.typeOf(b.shape)
	b.at = "x"
	add := func(name, op string, inputs []string, attrs ...*onnxio.Attribute) {
		b.m.Graph.Nodes = append(b.m.Graph.Nodes, &onnxio.Node{
			Name: name, OpType: op, Inputs: inputs, Outputs: []string{name + "_out"}, Attributes: attrs,
		})
	}
	norm := func(name, x string, channels int64) {
		add(name, "BatchNormalization", []string{
			x, b.positive(name+"_gamma", channels), b.random(name+"_beta", channels),
			b.random(name+"_mean", channels), b.positive(name+"_var", channels),
		}, onnxio.FloatAttr("epsilon", 1e-3))
	}
	ints := onnxio.IntsAttr
	add("conv1", "Conv", []string{"x", b.random("w1", 6, 2, 3, 3), b.random("b1", 6)},
		ints("kernel_shape", 3, 3), ints("dilations", 2, 1), ints("pads", 2, 1, 2, 3), onnxio.IntAttr("group", 2))
	norm("bn1", "conv1_out", 6)
	add("relu1", "Relu", []string{"bn1_out"})
	add("pool1", "MaxPool", []string{"relu1_out"}, ints("kernel_shape", 2, 2), ints("strides", 2, 2))
	add("trans1", "Transpose", []string{"pool1_out"}, ints("perm", 0, 1, 3, 2))
	norm("bn2", "trans1_out", 6)
	add("conv2", "Conv", []string{"bn2_out", b.random("w2", 4, 6, 3, 3), b.random("b2", 4)},
		ints("kernel_shape", 3, 3), ints("strides", 2, 1), ints("pads", 1, 1, 1, 1))
	add("relu2", "Relu", []string{"conv2_out"})
	add("avg1", "AveragePool", []string{"relu2_out"}, ints("kernel_shape", 2, 2), ints("pads", 0, 0, 1, 1))
	add("sub1", "Sub", []string{"relu2_out", "avg1_out"})
	add("gap", "GlobalAveragePool", []string{"sub1_out"})
	add("flatten", "Flatten", []string{"gap_out"})
	add("fc", "Gemm", []string{"flatten_out", b.random("fc.weight", 5, 4), b.random("fc.bias", 5)}, onnxio.IntAttr("transB", 1))
	b.m.Graph.Outputs = []*onnxio.ValueInfo{{Name: "fc_out", Type: b.typeOf([]int64{5})}}
	return b.m
}

// edit replaces the elements of a float32 initializer.
func edit(t *testing.T, m *onnxio.Model, name string, f func(v []float32, dims []int64)) {
	t.Helper()
	for i, init := range m.Graph.Initializers {
		if init.Name != name {
			continue
		}
		v, err := onnxio.Floats[float32](init)
		if err != nil {
			t.Fatal(err)
		}
		v = slices.Clone(v)
		f(v, init.Dims)
		m.Graph.Initializers[i] = onnxio.NewTensor(name, init.Dims, v)
		return
	}
	t.Fatalf("no initializer %q", name)
}

// ulp moves element i to its neighbour away from zero.
func ulp(v []float32, i int) {
	v[i] = math.Float32frombits(math.Float32bits(v[i]) + 1)
}

func nodeOf(t *testing.T, m *onnxio.Model, name string) *onnxio.Node {
	t.Helper()
	for _, n := range m.Graph.Nodes {
		if n.Name == name {
			return n
		}
	}
	t.Fatalf("no node %q", name)
	return nil
}

// set replaces an attribute.
func set(n *onnxio.Node, a *onnxio.Attribute) {
	n.Attributes = slices.DeleteFunc(slices.Clone(n.Attributes), func(b *onnxio.Attribute) bool { return b.Name == a.Name })
	n.Attributes = append(n.Attributes, a)
}

// editRecord changes the record that an eFCN carries.
func editRecord(t *testing.T, m *onnxio.Model, f func(r *record.Record)) {
	t.Helper()
	r, err := record.Read(m)
	if err != nil || r == nil {
		t.Fatal(r, err)
	}
	f(r)
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	m.SetMeta(record.Key, string(text))
}

// Rows and columns of conv1's matrix (6·8·10 × 4·8·8) that the table names.
const (
	conv1Rows = 6 * 8 * 10
	conv1Cols = 4 * 8 * 8
)

// firstNonZero returns the index of the first entry of a row that is not zero.
func firstNonZero(v []float32, row, cols int) int {
	for c := range cols {
		if v[row*cols+c] != 0 {
			return row*cols + c
		}
	}
	return -1
}

// mutation is something done to the CNN or its eFCN, and what each check has to
// say. A check's cell is "" if it cannot see the fault, else the kind of a finding
// and its node, either of which may be left out, and words that its text has to
// have.
type mutation struct {
	name      string
	cnn       func(t *testing.T, m *onnxio.Model)
	efcn      func(t *testing.T, m *onnxio.Model)
	structure string
	float64   string
	float32   string
	text      string // of the structure finding, or of float64's where there is none
	anyLayout bool   // it does not touch what is different in other layouts
	misshapen bool   // a value has another shape, so no element is where they part
}

// mutations is the table for dense layers.
var mutations = []mutation{
	{
		name: "one weight by one ulp",
		efcn: func(t *testing.T, m *onnxio.Model) {
			edit(t, m, "conv1.weight", func(v []float32, _ []int64) { ulp(v, firstNonZero(v, 123, conv1Cols)) })
		},
		structure: "entry conv1", float64: "layer bn1", text: "output [1 4 3] and input [0 2 2] (row 123, column 18",
	},
	{
		name: "one weight of a kept dense layer by one ulp", anyLayout: true,
		efcn: func(t *testing.T, m *onnxio.Model) {
			edit(t, m, "fc.weight", func(v []float32, _ []int64) { ulp(v, 7) })
		},
		structure: "entry fc", float64: "layer fc", text: "element 7",
	},
	{
		name: "two rows swapped",
		efcn: func(t *testing.T, m *onnxio.Model) {
			edit(t, m, "conv2.weight", func(v []float32, dims []int64) {
				n := int(dims[1])
				for c := range n {
					v[5*n+c], v[6*n+c] = v[6*n+c], v[5*n+c]
				}
			})
		},
		structure: "entry conv2", float64: "layer conv2", float32: "layer conv2", text: "(row 5,",
	},
	{
		name: "two columns swapped",
		efcn: func(t *testing.T, m *onnxio.Model) {
			edit(t, m, "conv2.weight", func(v []float32, dims []int64) {
				n := int(dims[1])
				for r := range int(dims[0]) {
					v[r*n+8], v[r*n+9] = v[r*n+9], v[r*n+8]
				}
			})
		},
		structure: "entry conv2", float64: "layer conv2", float32: "layer conv2", text: "column 8",
	},
	{
		name: "the pads of the CNN shifted by one", anyLayout: true,
		cnn: func(t *testing.T, m *onnxio.Model) {
			set(nodeOf(t, m, "conv1"), onnxio.IntsAttr("pads", 2, 2, 2, 2))
		},
		structure: "entry conv1", float64: "layer bn1", float32: "layer bn1", text: "row 0",
	},
	{
		name: "a bias dropped",
		efcn: func(t *testing.T, m *onnxio.Model) {
			n := nodeOf(t, m, "conv2")
			n.Inputs = n.Inputs[:2]
		},
		structure: "bias conv2", float64: "layer conv2", float32: "layer conv2", text: "is missing",
	},
	{
		name: "a bias by one ulp",
		efcn: func(t *testing.T, m *onnxio.Model) {
			edit(t, m, "conv2.bias", func(v []float32, _ []int64) { ulp(v, 17) })
		},
		structure: "bias conv2", float64: "layer conv2", text: "(row 17",
	},
	{
		name: "the bias of a folded layer by two ulps", anyLayout: true,
		efcn: func(t *testing.T, m *onnxio.Model) {
			edit(t, m, "conv1.bias", func(v []float32, _ []int64) { ulp(v, 100); ulp(v, 100) })
		},
		structure: "bias conv1", float64: "layer bn1", text: "(row 100",
	},
	{
		name: "an entry outside the support",
		efcn: func(t *testing.T, m *onnxio.Model) {
			edit(t, m, "conv1.weight", func(v []float32, _ []int64) { v[200*conv1Cols+255] = 1e-30 })
		},
		structure: "entry conv1", text: "(row 200, column 255 of \"conv1.weight\"): want 0 (0x00000000), got 1e-30",
	},
	{
		name: "a negative zero outside the support",
		efcn: func(t *testing.T, m *onnxio.Model) {
			edit(t, m, "conv1.weight", func(v []float32, _ []int64) { v[200*conv1Cols+255] = float32(math.Copysign(0, -1)) })
		},
		structure: "entry conv1", text: "got -0 (0x80000000)",
	},
	{
		name: "the dilations of the CNN permuted", anyLayout: true,
		cnn: func(t *testing.T, m *onnxio.Model) {
			set(nodeOf(t, m, "conv1"), onnxio.IntsAttr("dilations", 1, 2))
		},
		structure: "entry conv1", float64: "layer bn1", float32: "layer bn1",
	},
	{
		name: "a dilation of the CNN ignored", anyLayout: true,
		cnn: func(t *testing.T, m *onnxio.Model) {
			n := nodeOf(t, m, "conv1")
			set(n, onnxio.IntsAttr("dilations", 1, 1))
			set(n, onnxio.IntsAttr("pads", 1, 1, 1, 3))
		},
		structure: "entry conv1", float64: "layer bn1", float32: "layer bn1",
	},
	{
		name: "the strides of the CNN permuted", anyLayout: true,
		cnn: func(t *testing.T, m *onnxio.Model) {
			set(nodeOf(t, m, "conv2"), onnxio.IntsAttr("strides", 1, 2))
		},
		structure: "node conv2", float64: "layer conv2", float32: "layer conv2", text: "want float32 [40 120]",
	},
	{
		name: "two groups permuted",
		efcn: func(t *testing.T, m *onnxio.Model) {
			edit(t, m, "conv1.weight", func(v []float32, _ []int64) {
				for r := range conv1Rows {
					row := v[r*conv1Cols : (r+1)*conv1Cols]
					for c := range conv1Cols / 2 {
						row[c], row[c+conv1Cols/2] = row[c+conv1Cols/2], row[c]
					}
				}
			})
		},
		structure: "entry conv1", float64: "layer bn1", float32: "layer bn1",
	},
	{
		name: "the epsilon of a BatchNormalization multiplied in", anyLayout: true,
		cnn: func(t *testing.T, m *onnxio.Model) {
			set(nodeOf(t, m, "bn1"), onnxio.FloatAttr("epsilon", 1.1e-3))
		},
		structure: "entry conv1", float64: "layer bn1", float32: "layer bn1",
	},
	{
		name: "the epsilon of a BatchNormalization by itself", anyLayout: true,
		cnn: func(t *testing.T, m *onnxio.Model) {
			set(nodeOf(t, m, "bn2"), onnxio.FloatAttr("epsilon", 1.1e-3))
		},
		structure: "entry bn2/mul", float64: "layer bn2", float32: "layer bn2", text: "element [0 0 0]",
	},
	{
		name: "the scale of a BatchNormalization by one ulp at one place", anyLayout: true,
		efcn: func(t *testing.T, m *onnxio.Model) {
			edit(t, m, "bn2.scale", func(v []float32, _ []int64) { ulp(v, 50) })
		},
		structure: "entry bn2/mul", float64: "layer bn2", text: "element [2 2 2] (50 of",
	},
	{
		name: "an attribute of a MaxPool", anyLayout: true,
		efcn: func(t *testing.T, m *onnxio.Model) {
			set(nodeOf(t, m, "pool1"), onnxio.IntsAttr("kernel_shape", 1, 2))
		},
		structure: "attribute pool1", float64: "layer pool1", float32: "layer pool1", text: "attribute kernel_shape is [1 2]; in the CNN it is [2 2]",
	},
	{
		name: "a Relu removed", anyLayout: true,
		efcn: func(t *testing.T, m *onnxio.Model) {
			m.Graph.Nodes = slices.DeleteFunc(m.Graph.Nodes, func(n *onnxio.Node) bool { return n.Name == "relu2" })
			for _, n := range m.Graph.Nodes {
				for i, in := range n.Inputs {
					if in == "relu2_out" {
						n.Inputs[i] = "conv2_out"
					}
				}
			}
		},
		structure: "node relu2", float64: "layer avg1", float32: "layer avg1", text: "no value \"relu2_out\"",
	},
	{
		name: "a wrong permutation in a Gather", anyLayout: true,
		efcn: func(t *testing.T, m *onnxio.Model) {
			name := nodeOf(t, m, "trans1").Inputs[1]
			for i, init := range m.Graph.Initializers {
				if init.Name == name {
					v, err := onnxio.Ints(init)
					if err != nil {
						t.Fatal(err)
					}
					v = slices.Clone(v)
					v[33], v[34] = v[34], v[33]
					m.Graph.Initializers[i] = onnxio.NewTensor(init.Name, init.Dims, v)
				}
			}
		},
		structure: "index trans1", float64: "layer trans1", float32: "layer trans1", text: "(element 33 of",
	},
	{
		name: "the operands of a Sub swapped", anyLayout: true,
		efcn: func(t *testing.T, m *onnxio.Model) {
			slices.Reverse(nodeOf(t, m, "sub1").Inputs)
		},
		structure: "node sub1", float64: "layer sub1", float32: "layer sub1", text: "its input 0 is \"avg1_out\"",
	},
	{
		name: "padding counted in an average", anyLayout: true,
		cnn: func(t *testing.T, m *onnxio.Model) {
			set(nodeOf(t, m, "avg1"), onnxio.IntAttr("count_include_pad", 1))
		},
		structure: "entry avg1", float64: "layer avg1", float32: "layer avg1", text: "want 0.25 (0x3e800000), got 0.5",
	},
	{
		name: "the alpha of a dense layer",
		efcn: func(t *testing.T, m *onnxio.Model) {
			set(nodeOf(t, m, "conv2"), onnxio.FloatAttr("alpha", 1.0000001))
		},
		structure: "attribute conv2", float64: "layer conv2", text: "attribute alpha: want 1",
	},
	{
		name: "a dense layer that the record does not name", anyLayout: true,
		efcn: func(t *testing.T, m *onnxio.Model) {
			editRecord(t, m, func(r *record.Record) { r.Layers = r.Layers[1:] })
		},
		structure: "node conv1", text: "no layer of its record stands for the node",
	},
	{
		name: "a dense layer more than the CNN has", anyLayout: true,
		efcn: func(t *testing.T, m *onnxio.Model) {
			eye := make([]float32, 25)
			for i := range 5 {
				eye[6*i] = 1
			}
			m.Graph.Initializers = append(m.Graph.Initializers, onnxio.NewTensor("eye", []int64{5, 5}, eye))
			nodeOf(t, m, "fc").Outputs[0] = "before"
			m.Graph.Nodes = append(m.Graph.Nodes, &onnxio.Node{Name: "more", OpType: "Gemm", Inputs: []string{"before", "eye"}, Outputs: []string{"fc_out"}})
		},
		structure: "node fc", text: "the record does not name",
	},
	{
		name: "a tap moved by one column",
		efcn: func(t *testing.T, m *onnxio.Model) {
			edit(t, m, "conv2.weight", func(v []float32, dims []int64) {
				for i := 7 * int(dims[1]); ; i++ {
					if v[i] != 0 && v[i+1] == 0 {
						v[i], v[i+1] = 0, v[i]
						return
					}
				}
			})
		},
		structure: "entry conv2", float64: "layer conv2", float32: "layer conv2", text: "(row 7,",
	},
	{
		name: "external data shifted by one element", efcn: shiftedData,
		structure: "entry conv1", float64: "layer bn1", float32: "layer bn1",
	},
	{
		name: "a wrong batch stride of a vector", anyLayout: true,
		efcn: func(t *testing.T, m *onnxio.Model) {
			// [N, 480] read as [480, N] and transposed: of the same shape.
			m.Graph.Initializers = append(m.Graph.Initializers, onnxio.NewTensor("swapped", []int64{2}, []int64{480, -1}))
			after(t, m, "relu1", &onnxio.Node{Name: "stride/Transpose", OpType: "Transpose"})
			after(t, m, "relu1", &onnxio.Node{Name: "stride/Reshape", OpType: "Reshape"})
			n := nodeOf(t, m, "stride/Reshape")
			n.Inputs = append(n.Inputs, "swapped")
		},
		structure: "node relu1", float64: "layer relu1", float32: "layer relu1", text: "stride/Transpose",
	},
	{
		name: "a tie of two classes decided by one ulp", anyLayout: true,
		cnn: tied,
		efcn: func(t *testing.T, m *onnxio.Model) {
			tied(t, m)
			edit(t, m, "fc.bias", func(v []float32, _ []int64) { ulp(v, 1) })
		},
		structure: "entry fc", float64: "layer fc", text: "element 1 of \"fc.bias\"",
	},
	{
		name: "a record that names another source", anyLayout: true,
		efcn: func(t *testing.T, m *onnxio.Model) {
			editRecord(t, m, func(r *record.Record) { r.Layers[1].Source = r.Layers[0].Source })
		},
		structure: "node conv2",
	},
}

// tied gives two classes of the CNN the same weights, and biases beyond all others.
func tied(t *testing.T, m *onnxio.Model) {
	edit(t, m, "fc.weight", func(v []float32, _ []int64) { copy(v[4:8], v[:4]) })
	edit(t, m, "fc.bias", func(v []float32, _ []int64) { v[0], v[1] = 1e6, 1e6 })
}

// shiftedData writes a model with external data, moves that by one float32, and
// reads it back.
func shiftedData(t *testing.T, m *onnxio.Model) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "efcn.onnx")
	w, err := onnxio.Write(path, m, onnxio.WriteOptions{External: onnxio.ExternalAlways})
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(w.DataPath)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(w.DataPath, append(data[4:], 0, 0, 0, 0), 0o644); err != nil {
		t.Fatal(err)
	}
	read, err := onnxio.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	*m = *read
}

// TestMutations: every fault is found by the checks that the table says, and
// named with its node and index.
func TestMutations(t *testing.T) {
	if len(mutations) != 30 {
		t.Errorf("%d mutations, the table has had 30", len(mutations))
	}
	base := converted(t, mutable(), convert.Options{})
	r, err := verify.Verify(context.Background(), mutable(), base, verify.Options{})
	if err != nil || !r.Equal() {
		t.Fatal("the eFCN is not equal before it is changed", err)
	}
	for _, c := range mutations {
		t.Run(c.name, func(t *testing.T) { c.test(t, mutable(), base.Clone()) })
	}
}

// test applies a mutation and looks for the findings that the table names.
func (c *mutation) test(t *testing.T, cnn, efcn *onnxio.Model) {
	if c.cnn != nil {
		c.cnn(t, cnn)
	}
	if c.efcn != nil {
		c.efcn(t, efcn)
	}
	r, err := verify.Verify(context.Background(), cnn, efcn, verify.Options{Samples: 16})
	if err != nil {
		t.Fatal(err)
	}
	if r.Equal() {
		t.Error("found equal")
	}
	text := c.text
	for _, check := range []struct{ name, want string }{
		{verify.Structure, c.structure}, {verify.Float64, c.float64}, {verify.Float32, c.float32},
	} {
		if check.want == "" {
			continue
		}
		if !slices.ContainsFunc(r.Findings, func(f verify.Finding) bool {
			named := strings.Contains(" "+f.Kind+" "+f.Node+" ", " "+check.want+" ")
			return f.Check == check.name && named && strings.Contains(f.Text, text)
		}) {
			t.Errorf("%s: want a finding of %q that says %q", check.name, check.want, text)
		}
		text = "" // of the first of the checks only
	}
	for _, check := range r.Checks {
		want := map[string]string{verify.Structure: c.structure, verify.Float64: c.float64, verify.Float32: c.float32}[check.Name]
		if (check.Status == verify.Failed) != (want != "") {
			t.Errorf("%s %s; want it to see the fault: %t", check.Name, check.Status, want != "")
		}
	}
	if c.float64 != "" && !strings.HasPrefix(c.float64, "run") && !c.misshapen && r.Parting == nil {
		t.Error("the place where they part is not named")
	}
	sumsUp(t, r.Parting)
	if t.Failed() {
		for _, f := range r.Findings {
			t.Log(f)
		}
	}
}

// sumsUp checks that the two sums of a parting are what the models computed
// there: the same numbers in another order, in double precision.
func sumsUp(t *testing.T, p *verify.Parting) {
	t.Helper()
	if p == nil || p.Row == nil || p.Precision != verify.Float64 {
		return
	}
	for _, v := range [][2]verify.Figure{{p.Row.CNNSum, p.CNN}, {p.Row.EFCNSum, p.EFCN}} {
		if d := math.Abs(float64(v[0] - v[1])); d > 1e-9*(1+math.Abs(float64(v[1]))) {
			t.Errorf("the terms add up to %v; the value is %v", v[0], v[1])
		}
	}
	if len(p.Row.Terms) == 0 && p.Row.CNNBias == p.Row.EFCNBias {
		t.Error("nothing in the row differs")
	}
}
