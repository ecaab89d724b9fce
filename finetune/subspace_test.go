package finetune

import (
	"errors"
	"math"
	"path/filepath"
	"slices"
	"testing"

	"gonum.org/v1/gonum/mat"

	"efcn/convert"
	"efcn/convert/record"
	"efcn/finetune/data"
	"efcn/internal/kernel"
	"efcn/onnxio"
)

// startOf returns the model that a run trains from, after its V was chosen.
func startOf(t *testing.T, m *onnxio.Model, set *data.Set, o Options) *onnxio.Model {
	t.Helper()
	o.Epochs, o.Batch, o.Checkpoint, o.Snapshots = 1, 30, t.TempDir(), Snapshots{Every: 1000}
	if _, err := Train(t.Context(), m, set, nil, o, nil); err != nil {
		t.Fatal(err)
	}
	start, err := onnxio.Read(filepath.Join(o.Checkpoint, "step-0000000.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	return start
}

// orthonormality is the greatest difference of v·vᵀ from the unit matrix.
func orthonormality(v *mat.Dense) float64 {
	var gram mat.Dense
	gram.Mul(v, v.T())
	worst, n := 0.0, gram.RawMatrix().Rows
	for i := range n {
		gram.Set(i, i, gram.At(i, i)-1)
		for j := range n {
			worst = max(worst, math.Abs(gram.At(i, j)))
		}
	}
	return worst
}

// TestInitGradient: V spans the leading right singular vectors of the gradient of the
// dense form with the support left out, which is formed here.
func TestInitGradient(t *testing.T) {
	checked := 0
	for name, cnn := range map[string]*onnxio.Model{"toy": toyModel(), "groups": groupedModel()} {
		for _, rank := range []int{2, 6} {
			fresh, set := embedWith(t, cnn, convert.Options{Layout: record.Factored, Rank: rank}), toySet(100, 3)
			o := Options{Init: InitGradient, InitBatches: 2, Seed: 7}
			start := startOf(t, fresh, set, o)
			gradients := denseGradients(t, fresh, set, 7, 2)
			for _, l := range factoredLayers(t, start) {
				v := double(t, start, l.Right)
				r, in := v.Dims()
				if d := orthonormality(v); !(d < 1e-6) {
					t.Errorf("%s, %s, rank %d: rows are orthonormal to %g", name, l.Node, r, d)
				}
				g := slices.Clone(gradients[l.Weight])
				for i, coef := range coefficients(l) {
					if coef >= 0 {
						g[i] = 0
					}
				}
				dense := mat.NewDense(len(g)/in, in, g)
				var svd mat.SVD
				if !svd.Factorize(dense, mat.SVDThin) {
					t.Fatal("no singular values")
				}
				var right, cosines mat.Dense
				svd.VTo(&right)
				cosines.Mul(v, right.Slice(0, in, 0, r))
				var angles mat.SVD
				angles.Factorize(&cosines, mat.SVDNone)
				s := svd.Values(nil)
				cosine := slices.Min(angles.Values(nil))
				t.Logf("%s, %s: singular values %.3g, least cosine %.9f", name, l.Node, s, cosine)
				if !(cosine > 0.999) {
					t.Errorf("%s, %s, rank %d: the least cosine between the subspaces is %g", name, l.Node, r, cosine)
				}
				checked++
			}
			kernel.SetThreads(3)
			again := startOf(t, fresh, set, o)
			kernel.SetThreads(0)
			for _, l := range factoredLayers(t, start) {
				if !equalBits(bits(t, start, l.Right), bits(t, again, l.Right)) {
					t.Errorf("%s, %s: V depends on the number of threads", name, l.Node)
				}
				if !equalBits(bits(t, fresh, l.Weight), bits(t, start, l.Weight)) {
					t.Errorf("%s, %s: the local weights moved", name, l.Node)
				}
			}
		}
	}
	if checked != 6 {
		t.Errorf("checked %d layers, want 6", checked)
	}
}

// TestInitOrthonormal: the seed decides V.
func TestInitOrthonormal(t *testing.T) {
	fresh, set := embedWith(t, toyModel(), convert.Options{Layout: record.Factored, Rank: 3}), toySet(60, 3)
	a := startOf(t, fresh, set, Options{Init: InitOrthonormal, Seed: 1})
	b := startOf(t, fresh, set, Options{Init: InitOrthonormal, Seed: 2})
	for _, l := range factoredLayers(t, fresh) {
		if d := orthonormality(double(t, a, l.Right)); !(d < 1e-6) {
			t.Errorf("%s: rows are orthonormal to %g", l.Node, d)
		}
		if equalBits(bits(t, a, l.Right), bits(t, b, l.Right)) || equalBits(bits(t, a, l.Right), bits(t, fresh, l.Right)) {
			t.Errorf("%s: V does not follow the seed", l.Node)
		}
	}
}

// TestInitRefuses: V is not chosen where something would be lost, or has no effect.
func TestInitRefuses(t *testing.T) {
	fresh, set := embedWith(t, toyModel(), convert.Options{Layout: record.Factored, Rank: 3}), toySet(60, 3)
	learned, err := Train(t.Context(), fresh, set, nil, Options{Epochs: 1, Batch: 30, Rate: 0.05}, nil)
	if err != nil {
		t.Fatal(err)
	}
	node := factoredLayers(t, fresh)[0].Node
	edited := fresh.Clone()
	edited.Graph = splitSum(t, edited.Graph, factoredLayers(t, fresh)[0])
	for name, c := range map[string]struct {
		m    *onnxio.Model
		o    Options
		want SubspaceError
	}{
		"learned": {learned, Options{Init: InitGradient}, SubspaceError{Layer: node, Learned: true}},
		"drawn":   {learned, Options{Init: InitOrthonormal}, SubspaceError{Layer: node, Learned: true}},
		"frozen":  {fresh, Options{Init: InitGradient, Train: TrainLocal}, SubspaceError{}},
		"none":    {toyModel(), Options{Init: InitOrthonormal}, SubspaceError{}},
		"edited":  {edited, Options{Init: InitGradient}, SubspaceError{Layer: node}},
	} {
		var got *SubspaceError
		if err := Check(c.m, set, nil, c.o); !errors.As(err, &got) || *got != c.want {
			t.Errorf("%s: %v, want %v", name, err, &c.want)
		}
	}
	if err := (Options{Init: "svd"}).Validate(); err == nil {
		t.Error("an unknown Init is taken")
	}
}
