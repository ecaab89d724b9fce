package verify_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"efcn/convert"
	"efcn/convert/record"
	"efcn/convert/verify"
	"efcn/internal/constants"
	"efcn/onnxio"
)

// trained returns the names of the CNNs in testdata.
func trained(t *testing.T) []string {
	t.Helper()
	dirs, err := os.ReadDir(filepath.Join("..", "..", "testdata", "models"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, d := range dirs {
		names = append(names, d.Name())
	}
	return names
}

func readTrained(t *testing.T, name string) *onnxio.Model {
	t.Helper()
	m, err := onnxio.Read(filepath.Join("..", "..", "testdata", "models", name, "model.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// converted returns the eFCN of a CNN, written to a file and read back.
func converted(t *testing.T, m *onnxio.Model, o convert.Options) *onnxio.Model {
	t.Helper()
	folded, err := constants.Fold(m, constants.Options{})
	if err != nil {
		t.Fatal(err)
	}
	plan, err := convert.NewPlan(folded, o)
	if err != nil {
		t.Fatal(err)
	}
	efcn, err := plan.Model()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "efcn.onnx")
	if _, err := onnxio.Write(path, efcn, onnxio.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	if efcn, err = onnxio.Read(path); err != nil {
		t.Fatal(err)
	}
	return efcn
}

// TestTrainedModels: the conversions of networks that other tools trained and
// exported are equal to them.
func TestTrainedModels(t *testing.T) {
	names := trained(t)
	if len(names) < 9 {
		t.Fatalf("%d models in testdata, want at least 9", len(names))
	}
	for _, name := range names {
		for _, o := range []convert.Options{
			{},
			{NoFoldBN: true},
			{Layout: record.Local},
			{Layout: record.Sparse, NoFoldBN: true},
			{MaxBytes: 2 << 20},
			{Only: "*o*v*", Layout: record.Local},
			{Fold: convert.FoldAuto, MaxPool: convert.MaxPoolRelu},
			{Fold: convert.FoldAll, Layout: record.Local, MaxPool: convert.MaxPoolRelu},
		} {
			t.Run(fmt.Sprint(name, o.Layout, o.NoFoldBN, o.MaxBytes, o.Only, o.Fold), func(t *testing.T) {
				m := readTrained(t, name)
				efcn := converted(t, m, o)
				r, err := verify.Verify(context.Background(), m, efcn, verify.Options{Samples: 8, Seed: 1})
				if err != nil {
					t.Fatal(err)
				}
				if !r.Equal() || !r.Recorded {
					t.Error("not equal")
				}
				if testing.Verbose() || !r.Equal() {
					_ = r.WriteText(os.Stdout)
				}
			})
		}
	}
}
