package compress_test

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	"efcn/convert"
	"efcn/convert/compress"
	"efcn/convert/record"
	"efcn/convert/verify"
	"efcn/onnxio"
)

// TestRelayout: an eFCN that was taken to another layout is what the CNN is converted to in that,
// which verify proves number by number; trained inside the support, every matrix has the same bits
// in each layout.
func TestRelayout(t *testing.T) {
	cnn, err := onnxio.Read(filepath.Join("..", "..", "testdata", "models", "plain-torchscript", "model.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	layouts := []record.Layout{record.Dense, record.Sparse, record.Local, record.Factored}
	trained := converted(t, cnn, record.Local)
	rng := rand.New(rand.NewPCG(1, 2))
	perturb(t, trained, func(_ int, v float32) float32 { return v * (1 + rng.Float32()) })
	want := matrices(t, trained)
	pairs := 0
	for _, from := range layouts {
		for _, to := range layouts {
			m, report, err := compress.Relayout(context.Background(), converted(t, cnn, from), to, 4, 0)
			if err != nil {
				t.Fatalf("%s to %s: %v", from, to, err)
			}
			r, err := verify.Verify(context.Background(), cnn, m, verify.Options{
				Samples: -1, Skip: []string{verify.Float64, verify.Float32},
			})
			if err != nil || !r.Equal() || r.Checks[0].Status != verify.OK {
				t.Errorf("%s to %s: %v, %v", from, to, err, r.Findings)
			}
			for _, l := range report.Layers[:2] {
				if l.Layout != to || l.From != from || (l.Unchanged == "") != (from != to) {
					t.Errorf("%s to %s: %+v", from, to, l)
				}
			}
			other, _, err := compress.Relayout(context.Background(), trained, from, 4, 0)
			if err != nil {
				t.Fatal(err)
			}
			if m, _, err = compress.Relayout(context.Background(), other, to, 4, 0); err != nil {
				t.Fatal(err)
			}
			if got := matrices(t, m); !slices.EqualFunc(got, want, func(a, b []float32) bool {
				return slices.EqualFunc(a, b, func(x, y float32) bool { return math.Float32bits(x) == math.Float32bits(y) })
			}) {
				t.Errorf("trained, %s to %s: other matrices", from, to)
			}
			pairs++
		}
	}
	if pairs != 16 {
		t.Errorf("%d pairs", pairs)
	}
}

// TestRelayoutLoss: what another layout cannot have is refused by the layer.
func TestRelayoutLoss(t *testing.T) {
	cnn, err := onnxio.Read(filepath.Join("..", "..", "testdata", "models", "plain-torchscript", "model.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	off := converted(t, cnn, record.Dense)
	perturb(t, off, func(i int, v float32) float32 {
		if i == 700 { // of the first row, whose window is at the other corner
			return v + 1
		}
		return v
	})
	factored := converted(t, cnn, record.Factored)
	for i, init := range factored.Graph.Initializers {
		if rec, err := record.Read(factored); err == nil && init.Name == rec.Layers[0].Left {
			v := make([]float32, init.Dims[0]*init.Dims[1])
			v[3] = 1
			factored.Graph.Initializers[i] = onnxio.NewTensor(init.Name, init.Dims, v)
		}
	}
	for _, c := range []struct {
		name string
		from *onnxio.Model
		to   record.Layout
		lost bool
	}{
		{"an entry outside", off, record.Local, true},
		{"an entry outside", off, record.Factored, true},
		{"an entry outside", off, record.Sparse, false},
		{"a product", factored, record.Dense, true},
		{"a product", factored, record.Sparse, true},
		{"a product", factored, record.Local, true},
		{"a product", factored, record.Factored, false},
	} {
		m, _, err := compress.Relayout(context.Background(), c.from, c.to, 4, 0)
		e, ok := errors.AsType[*compress.LossError](err)
		if ok != c.lost || !ok && err != nil || ok && (m != nil || e.Layer != "/conv1/Conv" || e.To != c.to) {
			t.Errorf("%s to %s: %v", c.name, c.to, err)
		}
		if !c.lost && err == nil && !slices.Equal(matrixOf(t, m), matrixOf(t, c.from)) {
			t.Errorf("%s to %s: another matrix", c.name, c.to)
		}
	}
}

func converted(t *testing.T, cnn *onnxio.Model, layout record.Layout) *onnxio.Model {
	t.Helper()
	o := convert.Options{Layout: layout}
	if layout == record.Factored {
		o.Rank = 4
	}
	plan, err := convert.NewPlan(cnn, o)
	if err != nil {
		t.Fatal(err)
	}
	m, err := plan.Model()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// perturb changes the stored weights of the first layer that is embedded.
func perturb(t *testing.T, m *onnxio.Model, change func(i int, v float32) float32) {
	t.Helper()
	rec, err := record.Read(m)
	if err != nil {
		t.Fatal(err)
	}
	for i, init := range m.Graph.Initializers {
		if init.Name != rec.Layers[0].Weight {
			continue
		}
		v, err := onnxio.Floats[float32](init)
		if err != nil {
			t.Fatal(err)
		}
		for k := range v {
			if v[k] != 0 || rec.Layers[0].Layout == record.Dense {
				v[k] = change(k, v[k])
			}
		}
		m.Graph.Initializers[i] = onnxio.NewTensor(init.Name, init.Dims, v)
		return
	}
	t.Fatal("no weights")
}

// matrices are those of all layers, with their zeros.
func matrices(t *testing.T, m *onnxio.Model) [][]float32 {
	t.Helper()
	all, err := record.OpenAll(m)
	if err != nil {
		t.Fatal(err)
	}
	var out [][]float32
	for _, a := range all {
		v, err := onnxio.Floats[float32](a.Dense(context.Background(), false))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, v)
	}
	return out
}
