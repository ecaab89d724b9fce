package onnxgo_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"efcn/convert"
	"efcn/internal/arrays"
	"efcn/internal/constants"
	"efcn/internal/engine"
	"efcn/internal/onnxgo"
	"efcn/onnxio"
)

const folder = "../../testdata/models/plain-torchscript/"

func embedded(t *testing.T) *onnxio.Model {
	t.Helper()
	m, err := onnxio.Read(folder + "model.onnx")
	if err != nil {
		t.Fatal(err)
	}
	if m, err = constants.Fold(m, constants.Options{}); err != nil {
		t.Fatal(err)
	}
	plan, err := convert.NewPlan(m, convert.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if m, err = plan.Model(); err != nil {
		t.Fatal(err)
	}
	return m
}

func inputs(t *testing.T) []*onnxio.Tensor {
	t.Helper()
	all, err := arrays.ReadNPZ(folder + "inputs.npz")
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestOnnxGo runs the dense eFCN of a plain conv/ReLU/FC net in onnx-go and in
// the embedded engine, in double precision. They differ by no more than what
// rounding to float32 accounts for.
func TestOnnxGo(t *testing.T) {
	m, x := embedded(t), inputs(t)
	got, err := onnxgo.Run(m, x)
	if err != nil {
		t.Fatal(err)
	}
	want, bound := reference(t, m, x[0])
	if len(got) != 1 || !slices.Equal(got[0].Dims, []int64{16, 10}) {
		t.Fatalf("got %d outputs, %v", len(got), got[0].Dims)
	}
	values, err := onnxio.Floats[float64](got[0])
	if err != nil {
		t.Fatal(err)
	}
	worst := 0.0
	for i, v := range values {
		d := math.Abs(v - want[i])
		if !(d <= bound[i]) {
			t.Errorf("output %d: onnx-go %v, engine %v, apart by %.3g, more than %.3g", i, v, want[i], d, bound[i])
		}
		worst = max(worst, d/bound[i])
	}
	t.Logf("at most %.3g of the rounding bound", worst)
}

// reference returns the output of m in float64 and how far float32 may be from
// it: every Gemm adds γ_n(|W||x|+|b|), n its row length plus one (Higham,
// Accuracy and Stability of Numerical Algorithms, §3.1), and carries on the
// error of its input through |W|; a Relu carries it unchanged.
func reference(t *testing.T, m *onnxio.Model, x *onnxio.Tensor) (output, bound []float64) {
	t.Helper()
	values, err := onnxio.Floats[float64](x)
	if err != nil {
		t.Fatal(err)
	}
	shape := make([]int, len(x.Dims))
	for i, d := range x.Dims {
		shape[i] = int(d)
	}
	batch := shape[0]
	eng, err := engine.New[float64](m)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string][]float64{x.Name: values}
	feeds := map[string]*engine.Tensor[float64]{x.Name: {Type: onnxio.Float32, Shape: shape, F: values}}
	if _, err := eng.Observe(t.Context(), feeds, func(name string, v *engine.Tensor[float64]) error {
		seen[name] = slices.Clone(v.F)
		return nil
	}); err != nil {
		t.Fatal(err)
	}

	gemms := 0
	bound = make([]float64, len(values))
	for _, n := range m.Graph.Nodes {
		switch n.OpType {
		case "Flatten", "Relu":
		case "Gemm":
			w, b := m.Graph.Initializer(n.Input(1)), m.Graph.Initializer(n.Input(2))
			weights, err := onnxio.Floats[float64](w)
			if err != nil {
				t.Fatal(err)
			}
			bias, err := onnxio.Floats[float64](b)
			if err != nil {
				t.Fatal(err)
			}
			rows, cols := int(w.Dims[0]), int(w.Dims[1])
			in := seen[n.Input(0)]
			next := make([]float64, batch*rows)
			u := float64(cols+1) * 0x1p-24
			gamma := u / (1 - u)
			for s := range batch {
				for r := range rows {
					size, carried := math.Abs(bias[r]), 0.0
					for c := range cols {
						a := math.Abs(weights[r*cols+c])
						// The input is rounded already, so its size includes its error.
						size += a * (math.Abs(in[s*cols+c]) + bound[s*cols+c])
						carried += a * bound[s*cols+c]
					}
					next[s*rows+r] = gamma*size + carried
				}
			}
			bound = next
			gemms++
		default:
			t.Fatalf("node %q (%s) in what should be Flatten, Gemm and Relu only", n.Label(), n.OpType)
		}
	}
	if gemms != 3 {
		t.Fatalf("%d Gemm, want 3", gemms)
	}
	return seen[m.Graph.Outputs[0].Name], bound
}

func TestRunRefuses(t *testing.T) {
	m, x := embedded(t), inputs(t)
	one := onnxio.NewTensor("input", []int64{1, 1, 28, 28}, make([]float32, 28*28))
	unknown := m.Clone()
	unknown.Graph.Nodes[2].OpType = "Mish"
	for _, c := range []struct {
		m    *onnxio.Model
		x    []*onnxio.Tensor
		want string
	}{
		{m, nil, "0 inputs; the model has 1"},
		{m, []*onnxio.Tensor{one}, "want a batch of at least 2"},
		{unknown, x, `node "/Relu" (Mish): onnx-go does not support the operator`},
	} {
		if _, err := onnxgo.Run(c.m, c.x); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %q", err, c.want)
		}
	}
}
