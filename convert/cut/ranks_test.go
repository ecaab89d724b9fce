package cut_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"efcn/convert/cut"
	"efcn/convert/internal/testnet"
	"efcn/internal/constants"
	"efcn/internal/engine"
	"efcn/internal/kernel"
	"efcn/internal/mpi"
	"efcn/onnxio"
)

// parts cuts a model for every rank.
func parts(t *testing.T, m *onnxio.Model, ranks int, o cut.Options) []*cut.Part {
	t.Helper()
	all := make([]*cut.Part, ranks)
	for r := range all {
		o.Rank, o.Ranks = r, ranks
		var err error
		if all[r], err = cut.Model(m, o); err != nil {
			t.Fatal(err)
		}
		if err := all[r].Model.Check(); err != nil {
			t.Fatalf("rank %d of %d: %v", r, ranks, err)
		}
		again, err := constants.Fold(all[r].Model, constants.Options{KeepSparse: true})
		if err != nil {
			t.Fatal(err)
		}
		if a, b := again.Graph, all[r].Model.Graph; len(a.Nodes) != len(b.Nodes) ||
			!slices.Equal(a.Initializers, b.Initializers) {
			t.Errorf("rank %d of %d: folding the part again changes it", r, ranks)
		}
	}
	return all
}

type tensor[T kernel.Float] = engine.Tensor[T]

// runParts computes the outputs of the parts of a model, each on a rank of its own.
func runParts[T kernel.Float](t *testing.T, all []*cut.Part, x *tensor[T]) []map[string]*tensor[T] {
	t.Helper()
	out := make([]map[string]*tensor[T], len(all))
	var group sync.WaitGroup
	for r, w := range mpi.Local(len(all)) {
		group.Go(func() {
			m := all[r].Model
			e, err := engine.NewOver[T](w, m)
			if err != nil {
				t.Error(err)
				return
			}
			out[r], err = e.Run(t.Context(), map[string]*tensor[T]{m.Graph.FeedInputs()[0].Name: x})
			if err := errors.Join(err, e.Close()); err != nil {
				t.Errorf("rank %d: %v", r, err)
			}
		})
	}
	group.Wait()
	return out
}

// checkOutputs compares the outputs of the parts with those of the model, bit for bit.
func checkOutputs[T kernel.Float](t *testing.T, m *onnxio.Model, x *tensor[float64], all []*cut.Part) {
	t.Helper()
	narrow := &tensor[T]{Type: x.Type, Shape: x.Shape}
	for _, v := range x.F {
		narrow.F = append(narrow.F, T(v))
	}
	e, err := engine.New[T](m)
	if err != nil {
		t.Fatal(err)
	}
	input := m.Graph.FeedInputs()[0].Name
	want, err := e.Run(t.Context(), map[string]*tensor[T]{input: narrow})
	if err != nil {
		t.Fatal(err)
	}
	for r, got := range runParts(t, all, narrow) {
		for name, w := range want {
			if g := got[name]; g == nil || !slices.Equal(g.Shape, w.Shape) || !slices.Equal(g.F, w.F) {
				t.Errorf("rank %d of %d: output %q differs by %g", r, len(all), name, distance(g, w))
			}
		}
	}
}

// integral rounds the weights of a model, or makes those that would be 0 numbers from -2
// to 2, so that sums in float64 are exact in any order.
func integral(t *testing.T, m *onnxio.Model) *onnxio.Model {
	t.Helper()
	m = m.Clone()
	rng := rand.New(rand.NewPCG(3, 4))
	whole := func(of *onnxio.Tensor) *onnxio.Tensor {
		v, err := onnxio.Floats[float32](of)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(v, func(x float32) bool { return x < 1 || x != float32(math.Trunc(float64(x))) }) {
			return of // variances
		}
		for i := range v {
			v[i] = float32(rng.IntN(5) - 2)
		}
		return onnxio.NewTensor(of.Name, of.Dims, v)
	}
	for i, of := range m.Graph.Initializers {
		if of.Type == onnxio.Float32 && len(of.Dims) > 0 {
			m.Graph.Initializers[i] = whole(of)
		}
	}
	for name, s := range m.Graph.SparseConstants() {
		m.Graph.SetSparseValues(name, whole(s.Values).Data)
	}
	return m
}

// integers is a batch of n samples of small whole numbers.
func integers(n int, sample []int64) *tensor[float64] {
	x := testnet.RandomInput(rand.New(rand.NewPCG(1, 2)), n, sample)
	for i, v := range x.F {
		x.F[i] = math.Round(v)
	}
	return x
}

// checkSlices compares each initializer with that of the whole model.
func checkSlices(t *testing.T, all []*cut.Part) {
	t.Helper()
	for r, p := range all {
		for _, part := range p.Model.Graph.Initializers {
			whole := p.Whole.Graph.Initializer(part.Name)
			if whole == nil || !part.Type.IsFloat() {
				continue
			}
			w, err := onnxio.Floats[float64](whole)
			if err != nil {
				t.Fatal(err)
			}
			got, err := onnxio.Floats[float64](part)
			if err != nil {
				t.Fatal(err)
			}
			want := w
			if s, ok := p.Slices[part.Name]; ok {
				want = nil
				for o := range s.Outer {
					want = append(want, w[(o*s.Axis+s.Lo)*s.Inner:(o*s.Axis+s.Hi)*s.Inner]...)
				}
				if s.Len() != len(want) || s.Of(r).Lo != s.Lo || s.Bounds[len(all)] != s.Axis {
					t.Errorf("rank %d: %q: %+v", r, part.Name, s)
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("rank %d: initializer %q is another slice", r, part.Name)
			}
		}
	}
}

// distance is the largest difference of two tensors' elements.
func distance[T kernel.Float](a, b *tensor[T]) float64 {
	if a == nil || !slices.Equal(a.Shape, b.Shape) {
		return math.Inf(1)
	}
	most := 0.0
	for i := range a.F {
		most = max(most, math.Abs(float64(a.F[i]-b.F[i])))
	}
	return most
}
