package convert_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"efcn/convert"
	"efcn/convert/record"
	"efcn/onnxio"
)

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
