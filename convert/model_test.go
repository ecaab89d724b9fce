package convert_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"efcn/convert"
	"efcn/convert/record"
	"efcn/internal/constants"
	"efcn/internal/engine"
	"efcn/onnxio"
)

// readFolded reads a model of testdata as the commands do.
func readFolded(t *testing.T, name string) *onnxio.Model {
	t.Helper()
	m, err := onnxio.Read(filepath.Join("..", "testdata", "models", name, "model.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	if m, err = constants.Fold(m, constants.Options{}); err != nil {
		t.Fatal(err)
	}
	return m
}

// written converts m and returns the eFCN as it is read back from its file.
func written(t *testing.T, m *onnxio.Model, o convert.Options) *onnxio.Model {
	t.Helper()
	plan, err := convert.NewPlan(m, o)
	if err != nil {
		t.Fatal(err)
	}
	efcn, err := plan.Model()
	if err != nil {
		t.Fatal(err)
	}
	if err := efcn.Check(); err != nil {
		t.Fatalf("the eFCN is not valid: %v", err)
	}
	checkSize(t, plan, efcn)
	path := filepath.Join(t.TempDir(), "efcn.onnx")
	if _, err := onnxio.Write(path, efcn, onnxio.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	if efcn, err = onnxio.Read(path); err != nil {
		t.Fatal(err)
	}
	return efcn
}

// checkSize compares what the plan says of the weights, which it adds up without the
// model, with what is in the model.
func checkSize(t *testing.T, plan *convert.Plan, efcn *onnxio.Model) {
	t.Helper()
	if err := sizeDiffers(plan, efcn); err != nil {
		t.Error(err)
	}
}

func sizeDiffers(plan *convert.Plan, efcn *onnxio.Model) error {
	size := int64(0)
	for _, c := range efcn.Graph.Initializers {
		size += c.Data.Len()
	}
	for _, n := range efcn.Graph.Nodes {
		for _, a := range n.Attributes {
			if a.Sparse != nil {
				size += a.Sparse.Values.Data.Len() + a.Sparse.Indices.Data.Len()
			}
		}
	}
	if size != plan.WeightBytes {
		return fmt.Errorf("the eFCN has %d bytes of constants, the plan says %d", size, plan.WeightBytes)
	}
	return nil
}

func ops(m *onnxio.Model) []string {
	var names []string
	for _, n := range m.Graph.Nodes {
		names = append(names, n.OpType)
	}
	return names
}

// TestModels pins what becomes of the real models: the operators of the eFCN in
// order, its layers and what was kept.
func TestModels(t *testing.T) {
	tests := []struct {
		model  string
		opts   convert.Options
		ops    string
		layers string
		kept   string
	}{
		{model: "plain-torchscript", ops: "Flatten Gemm Relu Gemm Relu Gemm", layers: "Conv Conv Gemm"},
		{model: "lenet-torchscript", ops: "Flatten Gemm Relu Reshape MaxPool Flatten Gemm Relu Reshape MaxPool Flatten Gemm", layers: "Conv Conv Gemm", kept: "MaxPool MaxPool"},
		{
			model: "lenet-torchscript", opts: convert.Options{NoFoldBN: true},
			ops:    "Flatten Gemm Relu Reshape MaxPool Flatten Gemm Mul Add Relu Reshape MaxPool Flatten Gemm",
			layers: "Conv Conv Gemm", kept: "MaxPool MaxPool",
		},
		{model: "lenet-dynamo", ops: "Flatten Gemm Relu Reshape MaxPool Flatten Gemm Relu Reshape MaxPool Flatten Gemm", layers: "Conv Conv Gemm", kept: "MaxPool MaxPool"},
		{
			model: "padded-torchscript", ops: "Flatten Gemm Relu Reshape MaxPool Flatten Gemm Relu Gemm Gemm",
			layers: "Conv Conv AveragePool Gemm", kept: "MaxPool",
		},
		{
			model: "padded-dynamo", opts: convert.Options{Layout: record.Keep},
			ops:    "Conv Flatten Relu Reshape MaxPool Conv Flatten Relu Reshape AveragePool Flatten Gemm",
			layers: "Gemm", kept: "Conv MaxPool Conv AveragePool",
		},
	}
	for _, test := range tests {
		t.Run(fmt.Sprint(test.model, test.opts), func(t *testing.T) {
			cnn := readFolded(t, test.model)
			plan, err := convert.NewPlan(cnn, test.opts)
			if err != nil {
				t.Fatal(err)
			}
			var layers, kept []string
			for _, l := range plan.Layers {
				layers = append(layers, l.Op)
			}
			for _, k := range plan.Kept {
				kept = append(kept, k.Op)
			}
			efcn := written(t, cnn, test.opts)
			for what, pair := range map[string][2]string{
				"operators": {strings.Join(ops(efcn), " "), test.ops},
				"layers":    {strings.Join(layers, " "), test.layers},
				"kept":      {strings.Join(kept, " "), test.kept},
			} {
				if pair[0] != pair[1] {
					t.Errorf("%s:\n got %s\nwant %s", what, pair[0], pair[1])
				}
			}
			rec, err := record.Read(efcn)
			if err != nil || len(rec.Layers) != len(plan.Layers) {
				t.Errorf("record has %v, error %v; want %d layers", rec, err, len(plan.Layers))
			}
			sameFace(t, cnn, efcn)
		})
	}
}

// sameFace checks that two models have the same inputs, outputs and opsets.
func sameFace(t *testing.T, a, b *onnxio.Model) {
	t.Helper()
	face := func(m *onnxio.Model) string {
		var s strings.Builder
		for _, v := range slices.Concat(m.Graph.FeedInputs(), m.Graph.Outputs) {
			fmt.Fprintln(&s, v.Name, v.Type)
		}
		fmt.Fprintln(&s, m.Opsets, m.IRVersion, m.ProducerName)
		return s.String()
	}
	if face(a) != face(b) {
		t.Errorf("inputs, outputs or opsets differ:\n%s\n%s", face(a), face(b))
	}
}

// run returns the outputs of m for the input x, in float64.
func run(t *testing.T, m *onnxio.Model, x *engine.Tensor[float64]) map[string]*engine.Tensor[float64] {
	t.Helper()
	e, err := engine.New[float64](m)
	if err != nil {
		t.Fatal(err)
	}
	out, err := e.Run(context.Background(), map[string]*engine.Tensor[float64]{m.Graph.FeedInputs()[0].Name: x})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// checkSame compares two outputs of models that are equal but for the rounding
// of folded entries to float32.
func checkSame(t *testing.T, got, want *engine.Tensor[float64]) {
	t.Helper()
	if !slices.Equal(got.Shape, want.Shape) {
		t.Fatalf("shape %v, want %v", got.Shape, want.Shape)
	}
	scale := 1.0
	for _, v := range want.F {
		scale = max(scale, math.Abs(v))
	}
	for i := range want.F {
		if d := math.Abs(got.F[i] - want.F[i]); !(d <= 1e-5*scale) {
			t.Fatalf("output %d is %v, want %v", i, got.F[i], want.F[i])
		}
	}
}

func TestBudget(t *testing.T) {
	plan, err := convert.NewPlan(readFolded(t, "lenet-torchscript"), convert.Options{MaxBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	err = plan.CheckBudget()
	e, ok := errors.AsType[*convert.BudgetError](err)
	if !ok || e.Allowed != 1<<20 || e.Need != plan.WeightBytes || e.Largest == nil || strings.Contains(err.Error(), "\n") {
		t.Errorf("error %v, want one line that names what is needed", err)
	}
	var budget *convert.BudgetError
	if _, err := plan.Model(); !errors.As(err, &budget) || budget.Need != plan.WeightBytes {
		t.Errorf("a model of a plan over its budget: %v", err)
	}
}

// TestOldIR converts a model of the time when initializers were inputs as well.
func TestOldIR(t *testing.T) {
	cnn := readFolded(t, "plain-torchscript")
	cnn.IRVersion = 3
	for _, w := range cnn.Graph.Initializers {
		v := &onnxio.ValueInfo{Name: w.Name, Type: onnxio.TensorType{Elem: w.Type, HasShape: true}}
		for _, d := range w.Dims {
			v.Type.Shape = append(v.Type.Shape, onnxio.Fixed(d))
		}
		cnn.Graph.Inputs = append(cnn.Graph.Inputs, v)
	}
	if err := cnn.Check(); err != nil {
		t.Fatal(err)
	}
	efcn := written(t, cnn, convert.Options{})
	if efcn.IRVersion != 4 || len(efcn.Graph.Inputs) != 1 {
		t.Errorf("IR %d with %d inputs, want IR 4 with 1", efcn.IRVersion, len(efcn.Graph.Inputs))
	}
}
