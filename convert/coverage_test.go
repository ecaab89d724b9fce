package convert_test

import (
	"encoding/binary"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"efcn/convert"
	"efcn/convert/record"
	"efcn/convert/verify"
	"efcn/onnxio"
)

// TestCoverage counts linear layers, and says why some are not embedded. What was
// asked to be kept, joins, selections and products of two computed values are no
// failures.
func TestCoverage(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	m := small(17, []int64{2, 4, 4}, []*onnxio.Tensor{
		floats("w", rng, 2, 2, 1, 1), floats("g", rng, 32, 3), list("flat", 0, -1), list("perm", 0, 0, 0, 0),
		onnxio.NewTensor("up", []int64{4}, []float32{1, 1, 2, 2}),
	},
		node("Conv", "x w", "a"), node("Relu", "a", "b"), node("Conv", "b w", "c"), node("Transpose", "c", "d", onnxio.IntsAttr("perm", 0, 1, 3, 2)),
		node("MatMul", "c d", "e"), node("Flatten", "e", "f"), node("Gemm", "f g", "h"),
		node("ReduceMean", "h", "k", onnxio.IntsAttr("axes", 0), onnxio.IntAttr("keepdims", 0)),
		node("Resize", "c  up", "u", onnxio.StringAttr("mode", "cubic")), node("GlobalAveragePool", "u", "v"), node("Flatten", "v", "y"))
	m.Graph.Nodes[0].Name, m.Graph.Nodes[2].Name = "first", "second"
	m.Graph.Outputs = append(m.Graph.Outputs, &onnxio.ValueInfo{Name: "k", Type: onnxio.TensorType{Elem: onnxio.Float32}})
	plan, err := convert.NewPlan(m, convert.Options{Layers: map[string]record.Layout{"first": record.Keep}})
	if err != nil {
		t.Fatal(err)
	}
	c := plan.Coverage
	var why []string
	for _, k := range c.NotEmbedded {
		why = append(why, k.Op+": "+k.Why)
	}
	slices.Sort(why)
	if c.Linear != 6 || c.Embedded != 3 || c.Asked != 1 || len(why) != 2 || !strings.HasPrefix(why[0], "ReduceMean: ") || why[1] != "Resize: mode cubic has no vector form" {
		t.Errorf("%+v; want 3 of 6 embedded, one kept as asked, and the ReduceMean over the batch and the cubic Resize not", c)
	}
}

// TestCoverageOfIntegers: a count of what is positive, and a product of integers,
// are no linear layers.
func TestCoverageOfIntegers(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	m := small(17, []int64{2, 4, 4}, []*onnxio.Tensor{floats("w", rng, 2, 2, 1, 1), onnxio.NewTensor("zero", nil, []float32{0}), list("axes", 2, 3), onnxio.NewTensor("pair", []int64{4, 1}, []int64{1, 2, 3, 4})},
		node("Conv", "x w", "y"), node("Greater", "y zero", "b"), node("Cast", "b", "i", onnxio.IntAttr("to", int64(onnxio.Int64))),
		node("ReduceSum", "i axes", "count"), node("MatMul", "i pair", "sums"))
	for _, name := range []string{"count", "sums"} {
		m.Graph.Outputs = append(m.Graph.Outputs, &onnxio.ValueInfo{Name: name, Type: onnxio.TensorType{Elem: onnxio.Int64}})
	}
	plan, err := convert.NewPlan(m, convert.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if c := plan.Coverage; c.Linear != 1 || c.Embedded != 1 || len(c.NotEmbedded) != 0 {
		t.Errorf("%+v; want the Conv alone", c)
	}
}

// TestPurpose: what the layout auto becomes. The Convs are 32 and 297 MiB
// dense and 1 MiB local; without a purpose dense may take 256 MiB.
func TestPurpose(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	m := small(17, []int64{3, 32, 32}, []*onnxio.Tensor{floats("w", rng, 3, 3, 3, 3), floats("v", rng, 32, 3, 1, 1)}, node("Conv", "x w", "c"), node("Conv", "c v", "y"))
	m.Graph.Nodes[1].Name = "large"
	for _, test := range []struct {
		o    convert.Options
		want []record.Layout
	}{
		{convert.Options{}, []record.Layout{record.Dense, record.Local}},
		{convert.Options{For: convert.ForTraining}, []record.Layout{record.Dense, record.Dense}},
		{convert.Options{For: convert.ForTraining, MaxBytes: 100 << 20}, []record.Layout{record.Dense, record.Local}},
		{convert.Options{For: convert.ForInference}, []record.Layout{record.Local, record.Local}},
		{convert.Options{For: convert.ForVerifier, MaxBytes: 100 << 20}, []record.Layout{record.Dense, record.Dense}},
	} {
		plan, err := convert.NewPlan(m, test.o)
		if err != nil {
			t.Fatal(err)
		}
		var got []record.Layout
		local := 0
		for _, l := range plan.Layers {
			if got = append(got, l.Layout); l.Layout == record.Local {
				local++
			}
		}
		if !slices.Equal(got, test.want) || plan.Auto.Local != local || plan.Auto.Dense != 2-local {
			t.Errorf("%+v: layouts %v, %+v; want %v", test.o, got, *plan.Auto, test.want)
		}
		if a := plan.Auto; a.AllDense < 280<<20 || a.AllLocal > 8<<20 {
			t.Errorf("all dense %d bytes, all local %d", a.AllDense, a.AllLocal)
		}
	}
	if _, err := convert.NewPlan(m, convert.Options{For: convert.ForTraining, Layout: record.Local}); err == nil {
		t.Error("a purpose with a layout that is not auto is taken")
	}
	plan, err := convert.NewPlan(m, convert.Options{For: convert.ForVerifier, MaxBytes: 100 << 20})
	if err != nil {
		t.Fatal(err)
	}
	if err := plan.CheckBudget(); err == nil || strings.Contains(err.Error(), "local") {
		t.Errorf("budget of a verifier: %v; want a refusal that does not offer local", err)
	}
}

// TestOtherTypes: a CNN of another floating-point type is refused, and embedded as
// float32 where that is asked for; the eFCN is equal to the CNN made float32.
func TestOtherTypes(t *testing.T) {
	for _, elem := range []onnxio.DataType{onnxio.Float64, onnxio.Float16, onnxio.BFloat16} {
		rng := rand.New(rand.NewPCG(1, 1))
		half := func(to *onnxio.Tensor) *onnxio.Tensor {
			v, err := onnxio.Floats[float32](to)
			if err != nil {
				t.Fatal(err)
			}
			return typed(elem, to.Name, to.Dims, v)
		}
		m := small(17, []int64{2, 4, 4}, []*onnxio.Tensor{half(floats("w", rng, 3, 2, 3, 3)), half(floats("g", rng, 12, 5)), half(onnxio.NewTensor("six", nil, []float32{6}))},
			node("Conv", "x w", "c"), node("Clip", "c  six", "r"), node("Cast", "r", "f", onnxio.IntAttr("to", 1)), node("Cast", "f", "b", onnxio.IntAttr("to", int64(elem))),
			node("Flatten", "b", "v"), node("Gemm", "v g", "y"))
		m.Graph.Inputs[0].Type.Elem, m.Graph.Outputs[0].Type = elem, onnxio.TensorType{Elem: elem, HasShape: true, Shape: onnxio.Shape{onnxio.Symbol("N"), onnxio.Fixed(5)}}
		var other *convert.OtherTypeError
		if _, err := convert.NewPlan(m, convert.Options{}); !errors.As(err, &other) || other.Node != "conv" || other.Type != elem {
			t.Fatalf("%s: error %v", elem, err)
		}
		if _, err := convert.NewPlan(m, convert.Options{Layout: record.Keep}); err != nil {
			t.Errorf("%s, with every layer kept: %v", elem, err)
		}
		efcn := written(t, m, convert.Options{As: record.AsFloat32})
		if rec, err := record.Read(efcn); err != nil || rec.Version != 4 || rec.As != record.AsFloat32 {
			t.Errorf("%s: record %+v, %v", elem, rec, err)
		}
		if in := efcn.Graph.Inputs[0].Type.Elem; in != onnxio.Float32 {
			t.Errorf("%s: the input is %s", elem, in)
		}
		report, err := verify.Verify(t.Context(), m, efcn, verify.Options{Samples: 3})
		if err != nil {
			t.Fatal(err)
		}
		if !report.Equal() || report.As != record.AsFloat32 || len(report.Layers) != 2 {
			t.Errorf("%s: equal %t as %q, %d layers", elem, report.Equal(), report.As, len(report.Layers))
		}
		d, err := measuredFrom(t.Context(), efcn, m)
		if err != nil {
			t.Fatal(err)
		}
		if len(d.Layers) != 2 || d.Layers[0].FromCNN == nil || *d.Layers[0].FromCNN != 0 {
			t.Errorf("%s: from the CNN as float32: %+v", elem, d.Layers)
		}
	}
	m := small(17, []int64{2}, []*onnxio.Tensor{onnxio.NewTensor("g", []int64{2, 1}, []float64{1e300, 1})}, node("Gemm", "x g", "y"))
	m.Graph.Inputs[0].Type.Elem, m.Graph.Outputs[0].Type.Elem = onnxio.Float64, onnxio.Float64
	if _, err := convert.NewPlan(m, convert.Options{As: record.AsFloat32}); err == nil || !strings.Contains(err.Error(), `initializer "g": element 0 is 1e+300, which float32 has no room for`) {
		t.Errorf("error %v", err)
	}
}

// TestFolds: a weight in a Constant, one that is computed, a model-local function, and
// a constant that is an input too are what they would be as initializers.
func TestFolds(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	w := floats("w", rng, 3, 2, 1, 1)
	named := *w
	named.Name = ""
	constant := node("Constant", "", "w", &onnxio.Attribute{Name: "value", Type: onnxio.AttrTensor, T: &named})
	constant.Inputs = nil
	flat := *w
	flat.Name, flat.Dims = "flat", []int64{6}
	function := node("Layer", "x w", "y")
	function.Domain = "local"
	models := map[string]*onnxio.Model{
		"initializer": small(17, []int64{2, 4, 4}, []*onnxio.Tensor{w}, node("Conv", "x w", "y")),
		"Constant":    small(17, []int64{2, 4, 4}, nil, constant, node("Conv", "x w", "y")),
		"computed": small(17, []int64{2, 4, 4}, []*onnxio.Tensor{&flat, onnxio.NewTensor("dims", []int64{4}, []int64{3, 2, 1, 1})},
			node("Reshape", "flat dims", "w"), node("Conv", "x w", "y")),
		"function": small(17, []int64{2, 4, 4}, []*onnxio.Tensor{w}, function),
		"input":    small(17, []int64{2, 4, 4}, []*onnxio.Tensor{w}, node("Conv", "x w", "y")),
	}
	f := models["function"]
	f.Opsets = append(f.Opsets, onnxio.Opset{Domain: "local", Version: 1})
	f.Functions = []*onnxio.Function{{
		Domain: "local", Name: "Layer", Inputs: []string{"a", "b"}, Outputs: []string{"c"},
		Opsets: []onnxio.Opset{{Version: 17}}, Nodes: []*onnxio.Node{node("Conv", "a b", "c")},
	}}
	in := models["input"]
	in.Graph.Inputs = append(in.Graph.Inputs, &onnxio.ValueInfo{Name: "w", Type: onnxio.TensorType{Elem: onnxio.Float32}})
	for name, m := range models {
		inputs, nodes := len(m.Graph.Inputs), len(m.Graph.Nodes)
		p, err := convert.NewPlan(m, convert.Options{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if len(p.Layers) != 1 || p.Layers[0].Op != "Conv" || p.Layers[0].NonZeros != 96 || p.Coverage.Embedded != 1 {
			t.Errorf("%s: layers %+v, coverage %+v", name, p.Layers, p.Coverage)
		}
		if len(m.Graph.Inputs) != inputs || len(m.Graph.Nodes) != nodes {
			t.Errorf("%s: the CNN was modified", name)
		}
	}
}

// TestNoElements: values and weights of no elements, in every layout. ONNX Runtime
// 1.32 and onnx.checker take each file.
func TestNoElements(t *testing.T) {
	empty := func(name string, dims ...int64) *onnxio.Tensor { return onnxio.NewTensor(name, dims, []float32{}) }
	tests := []struct {
		name  string
		in    []int64
		inits []*onnxio.Tensor
		nodes []*onnxio.Node
	}{
		{"no input channels", []int64{0, 8, 8}, []*onnxio.Tensor{empty("w", 2, 0, 3, 3), onnxio.NewTensor("b", []int64{2}, []float32{3, 4})}, []*onnxio.Node{node("Conv", "x w b", "c"), node("Relu", "c", "y")}},
		{"no output channels", []int64{2, 8, 8}, []*onnxio.Tensor{empty("w", 0, 2, 3, 3)}, []*onnxio.Node{node("Conv", "x w", "y")}},
		{"no input channels, transposed", []int64{0, 8, 8}, []*onnxio.Tensor{empty("w", 0, 2, 3, 3), onnxio.NewTensor("b", []int64{2}, []float32{3, 4})}, []*onnxio.Node{node("ConvTranspose", "x w b", "y")}},
		{"no output channels, transposed", []int64{2, 8, 8}, []*onnxio.Tensor{empty("w", 2, 0, 3, 3)}, []*onnxio.Node{node("ConvTranspose", "x w", "y")}},
		{"no inputs", []int64{0}, []*onnxio.Tensor{empty("w", 0, 3)}, []*onnxio.Node{node("Gemm", "x w", "y")}},
		{"taps in padding only", []int64{1, 1, 1}, []*onnxio.Tensor{onnxio.NewTensor("w", []int64{1, 1, 1, 1}, []float32{5})}, []*onnxio.Node{node("Conv", "x w", "y", onnxio.IntsAttr("pads", 1, 1, 1, 1), onnxio.IntsAttr("strides", 2, 2))}},
	}
	for _, test := range tests {
		for _, layout := range []record.Layout{record.Dense, record.Sparse, record.Local} {
			m := small(17, test.in, test.inits, test.nodes...)
			efcn := written(t, m, convert.Options{Layout: layout})
			for _, n := range efcn.Graph.Nodes {
				if a := n.Attr("sparse_value"); a != nil {
					t.Errorf("%s: a sparse constant of %v", test.name, a.Sparse.Dims)
				}
			}
			x := randomInput(rand.New(rand.NewPCG(1, 1)), 2, test.in)
			checkSame(t, run(t, efcn, x)["y"], run(t, m, x)["y"])
		}
	}
}

// typed returns a constant of a floating-point type; of 16 bits, cut off.
func typed(elem onnxio.DataType, name string, dims []int64, v []float32) *onnxio.Tensor {
	var raw []byte
	for _, f := range v {
		bits := uint64(math.Float32bits(f) >> 16) // bfloat16
		switch elem {
		case onnxio.Float64:
			bits = math.Float64bits(float64(f) + float64(f)*0x1p-30)
		case onnxio.Float16: // of normal numbers
			b := math.Float32bits(f)
			bits = uint64(b>>16&0x8000 | (b>>13&0x3ffff-(127-15)<<10)&0x7fff)
		}
		raw = binary.LittleEndian.AppendUint64(raw, bits)[:len(raw)+int(elem.Size())]
	}
	return &onnxio.Tensor{Name: name, Type: elem, Dims: dims, Data: onnxio.Generate(int64(len(raw)), func(w io.Writer) error {
		_, err := w.Write(raw)
		return err
	})}
}
