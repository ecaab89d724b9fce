package engines_test

import (
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"efcn/internal/arrays"
	"efcn/internal/engines"
	"efcn/onnxio"
)

const models = "../../testdata/models"

func read(t *testing.T, name string) *onnxio.Model {
	t.Helper()
	m, err := onnxio.Read(filepath.Join(models, name, "model.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// run runs m in an engine, and returns its only output.
func run(t *testing.T, o engines.Options, name string, m *onnxio.Model, inputs ...*onnxio.Tensor) *onnxio.Tensor {
	t.Helper()
	s, err := o.Open(t.Context(), name, m)
	if err != nil {
		t.Fatal(err)
	}
	out, err := s.Run(t.Context(), inputs)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	return out[0]
}

// TestOpen: each engine that needs nothing installed computes what PyTorch
// computed, to the tolerance of ONNX's own tests.
func TestOpen(t *testing.T) {
	m := read(t, "plain-torchscript")
	inputs, err := arrays.ReadNPZ(filepath.Join(models, "plain-torchscript", "inputs.npz"))
	if err != nil {
		t.Fatal(err)
	}
	expected, err := arrays.ReadNPZ(filepath.Join(models, "plain-torchscript", "outputs.npz"))
	if err != nil {
		t.Fatal(err)
	}
	want, err := onnxio.Floats[float64](expected[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		o    engines.Options
		typ  onnxio.DataType
	}{
		{engines.Embedded, engines.Options{}, onnxio.Float32},
		{engines.Embedded, engines.Options{Float64: true}, onnxio.Float64},
		{engines.OnnxGo, engines.Options{}, onnxio.Float32},
	} {
		out := run(t, c.o, c.name, m, inputs...)
		got, err := onnxio.Floats[float64](out)
		if err != nil {
			t.Fatal(err)
		}
		if out.Name != "logits" || out.Type != c.typ || !slices.Equal(out.Dims, []int64{16, 10}) {
			t.Errorf("%s: %q is %s", c.name, out.Name, arrays.Describe(out))
		}
		for i := range got {
			if !(math.Abs(got[i]-want[i]) <= 1e-7+1e-3*math.Abs(want[i])) {
				t.Errorf("%s: element %d is %v, want %v", c.name, i, got[i], want[i])
			}
		}
	}
}

// twice is a model that adds its input to itself.
func twice(typ onnxio.DataType) *onnxio.Model {
	value := func(name string) *onnxio.ValueInfo {
		return &onnxio.ValueInfo{
			Name: name,
			Type: onnxio.TensorType{Elem: typ, HasShape: true, Shape: onnxio.Shape{onnxio.Symbol("N")}},
		}
	}
	return &onnxio.Model{
		IRVersion: 8, Opsets: []onnxio.Opset{{Version: 17}},
		Graph: &onnxio.Graph{
			Name: "twice", Inputs: []*onnxio.ValueInfo{value("x")}, Outputs: []*onnxio.ValueInfo{value("y")},
			Nodes: []*onnxio.Node{{Name: "add", OpType: "Add", Inputs: []string{"x", "x"}, Outputs: []string{"y"}}},
		},
	}
}

// TestTypes: what comes out is of the type that the model declares, and what goes
// in is converted to it, if it is floating point.
func TestTypes(t *testing.T) {
	x := onnxio.NewTensor("x", []int64{3}, []float64{1, 0.1, 70000})
	for _, c := range []struct {
		typ  onnxio.DataType
		want []float64
	}{
		{onnxio.Float64, []float64{2, float64(float32(0.1)) * 2, 140000}}, // computed in float32 unless asked
		{onnxio.Float32, []float64{2, float64(float32(0.1)) * 2, 140000}},
		{onnxio.Float16, []float64{2, 0.199951171875, math.Inf(1)}},
		{onnxio.BFloat16, []float64{2, 0.2001953125, 140288}},
	} {
		out := run(t, engines.Options{}, engines.Embedded, twice(c.typ), x)
		got, err := onnxio.Floats[float64](out)
		if err != nil || out.Type != c.typ || !slices.Equal(got, c.want) {
			t.Errorf("%s: %v %v, want %v (%v)", c.typ, out.Type, got, c.want, err)
		}
	}
	n := onnxio.NewTensor("x", []int64{2}, []int64{1, 1 << 40})
	if got, err := onnxio.Ints(run(t, engines.Options{}, engines.Embedded, twice(onnxio.Int64), n)); err != nil ||
		!slices.Equal(got, []int64{2, 1 << 41}) {
		t.Errorf("%v, %v", got, err)
	}
}

func TestRefused(t *testing.T) {
	t.Setenv("EFCN_ORT", "")
	t.Setenv("VIRTUAL_ENV", t.TempDir())
	unknown := twice(onnxio.Float32)
	unknown.Graph.Nodes[0].OpType = "Nonesuch"
	x := onnxio.NewTensor("x", []int64{2}, []float32{1, 2})
	for _, c := range []struct {
		engine string
		o      engines.Options
		m      *onnxio.Model
		x      []*onnxio.Tensor
		err    string
	}{
		{
			"tensorrt",
			engines.Options{},
			unknown, nil,
			`no engine is called "tensorrt"; embedded, onnxruntime, onnx-go are`,
		},
		{engines.Embedded, engines.Options{}, unknown, nil, `node "add" (Nonesuch): `},
		{
			engines.OnnxGo,
			engines.Options{},
			unknown, nil,
			`node "add" (Nonesuch): onnx-go does not support the operator`,
		},
		{
			engines.OnnxGo,
			engines.Options{Float64: true},
			unknown, nil,
			"engine onnx-go does not compute a model in another precision",
		},
		{engines.ONNXRuntime, engines.Options{Library: "no.such.file"}, unknown, nil, "ONNX Runtime: no.such.file: "},
		{engines.Embedded, engines.Options{}, twice(onnxio.Float32), nil, `input "x" is missing`},
		{
			engines.Embedded,
			engines.Options{},
			twice(onnxio.Float32),
			[]*onnxio.Tensor{x, x},
			"2 arrays; the model has 1 inputs",
		},
		{
			engines.Embedded,
			engines.Options{},
			twice(onnxio.Int32),
			[]*onnxio.Tensor{x},
			`input "x": want int32, got float32`,
		},
	} {
		s, err := c.o.Open(t.Context(), c.engine, c.m)
		if err == nil {
			_, err = s.Run(t.Context(), c.x)
		}
		if err == nil || !strings.Contains(err.Error(), c.err) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v, want %q", err, c.err)
		}
	}
}
