package lowrank_test

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"gonum.org/v1/gonum/mat"

	"efcn/internal/arrays"
	"efcn/internal/kernel"
	"efcn/internal/lowrank"
	"efcn/onnxio"
)

// dense is a matrix that is there, multiplied by gonum.
type dense struct {
	*mat.Dense
	products int
}

func (d *dense) Mul(_ context.Context, dst, x []float64, k int) error {
	d.products++
	rows, cols := d.Dims()
	mat.NewDense(rows, k, dst).Mul(d.Dense, mat.NewDense(cols, k, x))
	return nil
}

func (d *dense) MulT(_ context.Context, dst, y []float64, k int) error {
	d.products++
	rows, cols := d.Dims()
	mat.NewDense(cols, k, dst).Mul(d.T(), mat.NewDense(rows, k, y))
	return nil
}

// spectra are the matrices of testdata and their singular values as numpy has them.
func spectra(t *testing.T) (matrices map[string]*mat.Dense, values map[string][]float64) {
	t.Helper()
	all, err := arrays.ReadNPZ("testdata/spectra.npz")
	if err != nil {
		t.Fatal(err)
	}
	matrices, values = map[string]*mat.Dense{}, map[string][]float64{}
	for i := 0; i < len(all); i += 2 {
		a, s := all[i], all[i+1]
		v, errV := onnxio.Floats[float64](a)
		of, errS := onnxio.Floats[float64](s)
		if err := errors.Join(errV, errS); err != nil || s.Name != a.Name+"/s" {
			t.Fatal(a.Name, s.Name, err)
		}
		matrices[a.Name], values[a.Name] = mat.NewDense(int(a.Dims[0]), int(a.Dims[1]), v), of
	}
	return matrices, values
}

// TestLeading compares singular values with numpy's, what the triples leave of the
// matrix with gonum's full decomposition, and looks at the columns' products.
func TestLeading(t *testing.T) {
	matrices, values := spectra(t)
	for _, test := range []struct {
		name string
		rank int
		o    lowrank.Options
		// exact: rank and Oversample reach the size or the rank of the matrix.
		exact bool
		// low is by how much of the largest the values may be low otherwise.
		low float64
	}{
		{name: "slow", rank: 60, exact: true},
		{name: "slow", rank: 52, exact: true},
		{name: "slow", rank: 10, low: 0.06},
		{name: "slow", rank: 10, o: lowrank.Options{Oversample: 20}, low: 0.01},
		{name: "slow", rank: 10, o: lowrank.Options{Power: 60}, low: 1e-6},
		{name: "slow", rank: 10, o: lowrank.Options{Power: 500, Tolerance: 1e-9}, low: 1e-7},
		{name: "harmonic", rank: 8, low: 1e-3},
		{name: "harmonic", rank: 8, o: lowrank.Options{Power: 12}, low: 1e-9},
		{name: "harmonic", rank: 128, exact: true},
		{name: "fast", rank: 12, exact: true}, // what is left is below float64's rounding
		{name: "fast", rank: 4, low: 1e-12},
		{name: "deficient", rank: 5, exact: true},
		{name: "deficient", rank: 9, exact: true},
		{name: "deficient", rank: 3, exact: true},
		{name: "zero", rank: 4, exact: true},
		{name: "tall", rank: 6, exact: true},
		{name: "tall", rank: 3, exact: true},
		{name: "row", rank: 7, exact: true},
		{name: "column", rank: 7, exact: true},
	} {
		a, s := matrices[test.name], values[test.name]
		rows, cols := a.Dims()
		got, err := lowrank.Leading(t.Context(), &dense{Dense: a}, test.rank, test.o)
		if err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		n := min(test.rank, rows, cols)
		if len(got.S) != n || len(got.U) != rows*n || len(got.V) != cols*n {
			t.Fatalf("%s: %d values, %d and %d elements; want %d triples of a %d×%d matrix", test.name, len(got.S),
				len(got.U), len(got.V), n, rows, cols)
		}
		low := test.low
		if test.exact {
			low = 1e-13
		}
		for i, v := range got.S {
			if v > s[i]+1e-13*s[0] || v < s[i]-low*s[0] {
				t.Errorf("%s, rank %d, %+v: singular value %d is %v, numpy's %v", test.name, test.rank, test.o, i, v, s[i])
			}
		}
		u, v := mat.NewDense(rows, n, got.U), mat.NewDense(cols, n, got.V)
		orthonormal(t, test.name, u)
		orthonormal(t, test.name, v)

		var back, scaled mat.Dense
		scaled.Mul(u, mat.NewDiagDense(n, got.S))
		back.Mul(&scaled, v.T())
		back.Sub(a, &back)
		left, all, kept := mat.Norm(&back, 2), mat.Norm(a, 2), norm(got.S)
		if math.Abs(left*left-(all*all-kept*kept)) > 1e-12*all*all {
			t.Errorf("%s, rank %d: it leaves %v of the matrix, the values say %v", test.name, test.rank, left,
				math.Sqrt(all*all-kept*kept))
		}
		if best := truncated(t, a, n); left > best+(low+1e-13)*all {
			t.Errorf("%s, rank %d: it leaves %v of the matrix, the best of that rank %v", test.name, test.rank, left, best)
		}
	}
}

func norm(v []float64) float64 { return mat.Norm(mat.NewVecDense(len(v), v), 2) }

// orthonormal checks the columns of q.
func orthonormal(t *testing.T, name string, q *mat.Dense) {
	t.Helper()
	var g mat.Dense
	g.Mul(q.T(), q)
	n, _ := g.Dims()
	for i := range n {
		for j := range n {
			want := 0.0
			if i == j {
				want = 1
			}
			if math.Abs(g.At(i, j)-want) > 1e-13 {
				t.Errorf("%s: columns %d and %d have the product %v", name, i, j, g.At(i, j))
			}
		}
	}
}

// truncated is what gonum's decomposition, cut to that rank, leaves of a matrix.
func truncated(t *testing.T, a *mat.Dense, rank int) float64 {
	t.Helper()
	var full mat.SVD
	if !full.Factorize(a, mat.SVDNone) {
		t.Fatal("gonum finds no singular values")
	}
	return norm(append(full.Values(nil)[rank:], 0))
}

// TestLong: blocks of rows are decomposed apart, in several steps, and the result does
// not depend on the threads. The columns are of sizes 10¹² apart, which the squares
// that a Cholesky decomposition takes do not resolve.
func TestLong(t *testing.T) {
	defer kernel.SetThreads(0)
	rng := rand.New(rand.NewPCG(15, 1))
	const rows, cols, inner = 30000, 700, 30
	u, v := make([]float64, rows*inner), make([]float64, inner*cols)
	for i := range u {
		u[i] = rng.NormFloat64()
	}
	for k := range inner {
		for c := range cols {
			v[k*cols+c] = rng.NormFloat64() * math.Pow(10, -0.4*float64(k))
		}
	}
	a := &product{mat.NewDense(rows, inner, u), mat.NewDense(inner, cols, v)}
	var first *lowrank.SVD
	for _, threads := range []int{1, 2, 3, 4} {
		kernel.SetThreads(threads)
		got, err := lowrank.Leading(t.Context(), a, 24, lowrank.Options{Seed: 7})
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = got
			orthonormal(t, "U", mat.NewDense(rows, 24, slices.Clone(got.U)))
			orthonormal(t, "V", mat.NewDense(cols, 24, slices.Clone(got.V)))
		}
		if !slices.Equal(got.U, first.U) || !slices.Equal(got.S, first.S) || !slices.Equal(got.V, first.V) {
			t.Errorf("%d threads give another result than one", threads)
		}
	}
	if other, err := lowrank.Leading(t.Context(), a, 24, lowrank.Options{Seed: 8}); err != nil ||
		slices.Equal(other.U, first.U) {
		t.Errorf("another seed gives the same: %v", err)
	}
	// The singular values of U·V are those of R_U·V, which is small.
	var qr mat.QR
	var r, small mat.Dense
	qr.Factorize(a.u)
	qr.RTo(&r)
	small.Mul(r.Slice(0, inner, 0, inner), a.v)
	var full mat.SVD
	if !full.Factorize(&small, mat.SVDNone) {
		t.Fatal("gonum finds no singular values")
	}
	for i, s := range full.Values(nil)[:24] {
		if math.Abs(first.S[i]-s) > 1e-12*first.S[0] {
			t.Errorf("singular value %d is %v, gonum's %v", i, first.S[i], s)
		}
	}
}

// product is U·V, which is not formed.
type product struct{ u, v *mat.Dense }

func (p *product) Dims() (rows, cols int) {
	rows, _ = p.u.Dims()
	_, cols = p.v.Dims()
	return rows, cols
}

func (p *product) Mul(_ context.Context, dst, x []float64, k int) error {
	rows, cols := p.Dims()
	var inner mat.Dense
	inner.Mul(p.v, mat.NewDense(cols, k, x))
	mat.NewDense(rows, k, dst).Mul(p.u, &inner)
	return nil
}

func (p *product) MulT(_ context.Context, dst, y []float64, k int) error {
	rows, cols := p.Dims()
	var inner mat.Dense
	inner.Mul(p.u.T(), mat.NewDense(rows, k, y))
	mat.NewDense(cols, k, dst).Mul(p.v.T(), &inner)
	return nil
}

// TestTolerance: rounds end where values settle, and not before.
func TestTolerance(t *testing.T) {
	matrices, _ := spectra(t)
	for _, test := range []struct {
		name      string
		o         lowrank.Options
		from, to  int // products
		tolerance float64
	}{
		{name: "harmonic", o: lowrank.Options{Power: 50}, from: 102, to: 102},
		{name: "harmonic", o: lowrank.Options{Power: 50, Tolerance: 1e-9}, from: 6, to: 40},
		{name: "deficient", o: lowrank.Options{Power: 50, Tolerance: 1e-9}, from: 4, to: 4},
		{name: "harmonic", o: lowrank.Options{}, from: 6, to: 6},
		{name: "tall", o: lowrank.Options{Power: 50}, from: 2, to: 2}, // all of it at once
	} {
		a := &dense{Dense: matrices[test.name]}
		if _, err := lowrank.Leading(t.Context(), a, 8, test.o); err != nil || a.products < test.from ||
			a.products > test.to {
			t.Errorf("%s, %+v: %d products (%v), want %d to %d", test.name, test.o, a.products, err, test.from, test.to)
		}
	}
}

// failing is a matrix whose products fail.
type failing struct{ dense }

var errFailing = errors.New("it fails")

func (*failing) MulT(context.Context, []float64, []float64, int) error { return errFailing }

func TestRefused(t *testing.T) {
	of := func(v float64) *dense {
		a := mat.NewDense(5, 7, nil)
		a.Set(3, 4, v)
		return &dense{Dense: a}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, test := range []struct {
		what string
		ctx  context.Context
		a    lowrank.Operator
		rank int
		want error // nil for any
	}{
		{"NaN", t.Context(), of(math.NaN()), 2, lowrank.ErrNotFinite},
		{"Inf", t.Context(), of(math.Inf(1)), 2, lowrank.ErrNotFinite},
		{"-Inf", t.Context(), of(math.Inf(-1)), 2, lowrank.ErrNotFinite},
		{"overflow", t.Context(), of(math.MaxFloat64), 2, lowrank.ErrNotFinite},
		{"rank 0", t.Context(), of(1), 0, nil},
		{"interrupted", ended, of(1), 2, context.Canceled},
		{"product fails", t.Context(), &failing{*of(1)}, 2, errFailing},
	} {
		got, err := lowrank.Leading(test.ctx, test.a, test.rank, lowrank.Options{})
		if err == nil || got != nil || test.want != nil && !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", test.what, err, test.want)
		}
	}
}
