package testnet

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"efcn/convert"
	"efcn/convert/record"
	"efcn/convert/restore"
	"efcn/internal/constants"
	"efcn/onnxio"
)

// ReadFolded reads a model of testdata as the commands do.
func ReadFolded(t *testing.T, name string) *onnxio.Model {
	t.Helper()
	models := filepath.Join("testdata", "models")
	for range 4 { // from the folder of a test up to that of the module
		if _, err := os.Stat(models); err == nil {
			break
		}
		models = filepath.Join("..", models)
	}
	m, err := onnxio.Read(filepath.Join(models, name, "model.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	if m, err = constants.Fold(m, constants.Options{}); err != nil {
		t.Fatal(err)
	}
	return m
}

// Written converts m and returns the eFCN as it is read back from its file.
func Written(t *testing.T, m *onnxio.Model, o convert.Options) *onnxio.Model {
	t.Helper()
	efcn := embedded(t, m, o)
	if err := efcn.Check(); err != nil {
		t.Fatalf("the eFCN is not valid: %v", err)
	}
	path := filepath.Join(t.TempDir(), "efcn.onnx")
	if _, err := onnxio.Write(path, efcn, onnxio.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	read, err := onnxio.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	return read
}

// embedded converts m, and checks what the plan says of the size.
func embedded(t *testing.T, m *onnxio.Model, o convert.Options) *onnxio.Model {
	t.Helper()
	plan, err := convert.NewPlan(m, o)
	if err != nil {
		t.Fatal(err)
	}
	efcn, err := plan.Model()
	if err != nil {
		t.Fatal(err)
	}
	CheckSize(t, plan, efcn)
	return efcn
}

// CheckSize compares what the plan says of the weights, which it adds up without the
// model, with what is in the model.
func CheckSize(t *testing.T, plan *convert.Plan, efcn *onnxio.Model) {
	t.Helper()
	if err := SizeDiffers(plan, efcn); err != nil {
		t.Error(err)
	}
}

// SizeDiffers is [CheckSize] where there is no test to fail.
func SizeDiffers(plan *convert.Plan, efcn *onnxio.Model) error {
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

// Embedded is what Written does, in memory.
func Embedded(t *testing.T, m *onnxio.Model, o convert.Options) *onnxio.Model {
	t.Helper()
	return Reread(t, embedded(t, m, o))
}

// Reread returns m as it is read back from its bytes.
func Reread(t *testing.T, m *onnxio.Model) *onnxio.Model {
	t.Helper()
	var b bytes.Buffer
	if _, err := onnxio.WriteTo(&b, m); err != nil {
		t.Fatal(err)
	}
	m, err := onnxio.ReadFrom(&b)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// Project returns the projection of an eFCN as it is read back.
func Project(t *testing.T, efcn *onnxio.Model) (*onnxio.Model, *record.Deviation) {
	t.Helper()
	cnn, d, err := restore.Project(context.Background(), efcn)
	if err != nil {
		t.Fatal(err)
	}
	return Reread(t, cnn), d
}

// MeasuredFrom measures an eFCN, and its distance from the CNN too.
func MeasuredFrom(ctx context.Context, efcn, cnn *onnxio.Model) (*record.Deviation, error) {
	origin, err := convert.Embedding(efcn, cnn)
	if err != nil {
		return nil, err
	}
	return record.Measure(ctx, efcn, origin)
}
