package engine_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"efcn/internal/arrays"
	"efcn/internal/constants"
	"efcn/internal/engine"
	"efcn/internal/kernel"
	"efcn/onnxio"
)

const modelsDir = "../../testdata/models"

// TestModels runs every model of testdata against what the framework that
// trained it computed.
func TestModels(t *testing.T) {
	dirs, err := os.ReadDir(modelsDir)
	if err != nil {
		t.Fatal(err)
	}
	single, double := 0, 0
	for _, d := range dirs {
		t.Run(d.Name(), func(t *testing.T) {
			dir := filepath.Join(modelsDir, d.Name())
			m, err := onnxio.Read(filepath.Join(dir, "model.onnx"))
			if err != nil {
				t.Fatal(err)
			}
			folded, err := constants.Fold(m, constants.Options{})
			if err != nil {
				t.Fatal(err)
			}
			for what, m := range map[string]*onnxio.Model{"as exported": m, "folded": folded} {
				if err := runModel[float32](m, dir, "outputs.npz", 1e-4); err != nil {
					t.Errorf("%s, float32: %v", what, err)
				}
				single++
				rel := 1e-9
				if strings.HasSuffix(d.Name(), "-dynamo") {
					// This exporter multiplies BatchNormalization into the convolutions
					// in float32, so each weight is off by up to 2^-24 from the module's.
					rel = 1e-6
				}
				err := runModel[float64](m, dir, "outputs64.npz", rel)
				if errors.Is(err, fs.ErrNotExist) {
					continue // Keras does not run in float64 on float32 weights
				}
				if err != nil {
					t.Errorf("%s, float64: %v", what, err)
				}
				double++
			}
		})
	}
	if single != 18 || double != 14 {
		t.Errorf("ran %d models in float32 and %d in float64, want 18 and 14", single, double)
	}
}

// runModel compares a run on inputs.npz with the reference; rel is relative to
// the largest magnitude of an output.
func runModel[T kernel.Float](m *onnxio.Model, dir, reference string, rel float64) error {
	e, err := engine.New[T](m)
	if err != nil {
		return err
	}
	want, err := readValues[T](filepath.Join(dir, reference))
	if err != nil {
		return err
	}
	feeds, err := readValues[T](filepath.Join(dir, "inputs.npz"))
	if err != nil {
		return err
	}
	got, err := e.Run(context.Background(), feeds)
	if err != nil {
		return err
	}
	for name, w := range want {
		largest := 0.0
		for _, v := range w.F {
			largest = max(largest, math.Abs(float64(v)))
		}
		if got[name] == nil {
			return errors.New("no output " + name)
		}
		if !slices.Equal(got[name].Shape, w.Shape) {
			return fmt.Errorf("%s has shape %v, want %v", name, got[name].Shape, w.Shape)
		}
		for i, v := range got[name].F {
			if d := math.Abs(float64(v - w.F[i])); !(d <= rel*largest) {
				return fmt.Errorf("element %d of %s is %v, want %v", i, name, v, w.F[i])
			}
		}
	}
	return nil
}

func readValues[T kernel.Float](path string) (map[string]*engine.Tensor[T], error) {
	list, err := arrays.ReadNPZ(path)
	if err != nil {
		return nil, err
	}
	values := map[string]*engine.Tensor[T]{}
	for _, a := range list {
		v, err := engine.FromONNX[T](a)
		if err != nil {
			return nil, err
		}
		v.Type = onnxio.Float32 // as the models declare, whatever it was computed in
		values[a.Name] = v
	}
	return values, nil
}
