package compress_test

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"gonum.org/v1/gonum/mat"

	"efcn/convert"
	"efcn/convert/compress"
	"efcn/convert/internal/testnet"
	"efcn/convert/record"
	"efcn/onnxio"
)

// relaxed is a dense eFCN of one layer whose matrix is w, of which inside says what the
// CNN's operator reaches.
type relaxed struct {
	efcn       *onnxio.Model
	shape      []int64
	rows, cols int
	w          []float64
	inside     []bool
}

// relax gives a CNN of one layer, converted, a matrix that is random everywhere; the
// support is found by running the CNN on unit vectors. nil if it has no entries.
func relax(t *testing.T, rng *rand.Rand, cnn *onnxio.Model, shape []int64, bias bool) *relaxed {
	t.Helper()
	plain := cnn
	if bias {
		plain = cnn.Clone()
		plain.Graph.Nodes[0].Inputs = plain.Graph.Nodes[0].Inputs[:2]
	}
	if _, err := convert.NewPlan(cnn, convert.Options{Layout: record.Dense}); err != nil {
		return nil // pads that leave a transposed convolution nothing
	}
	r := &relaxed{shape: shape}
	var a []float64
	r.rows, r.cols, a = testnet.MatrixOf(t, plain, shape)
	if r.rows == 0 || !slices.ContainsFunc(a, func(v float64) bool { return v != 0 }) {
		return nil
	}
	values := make([]float32, len(a))
	for i, v := range a {
		values[i] = float32(v + 0.3*rng.NormFloat64())
		r.w = append(r.w, float64(values[i]))
		r.inside = append(r.inside, v != 0)
	}
	r.efcn = testnet.Embedded(t, cnn, convert.Options{Layout: record.Dense})
	rec, err := record.Read(r.efcn)
	if err != nil {
		t.Fatal(err)
	}
	for i, old := range r.efcn.Graph.Initializers {
		if old.Name == rec.Layers[0].Weight {
			r.efcn.Graph.Initializers[i] = onnxio.NewTensor(old.Name, old.Dims, values)
		}
	}
	return r
}

// outside is W_off.
func (r *relaxed) outside() []float64 {
	off := slices.Clone(r.w)
	for i := range off {
		if r.inside[i] {
			off[i] = 0
		}
	}
	return off
}

// cutToRank is what W becomes where W_off is cut to that rank by gonum's full
// decomposition, and the share of its energy that stays.
func (r *relaxed) cutToRank(t *testing.T, rank int) (w []float64, share float64) {
	t.Helper()
	var svd mat.SVD
	if !svd.Factorize(mat.NewDense(r.rows, r.cols, r.outside()), mat.SVDThin) {
		t.Fatal("gonum finds no singular values")
	}
	var u, v, cut mat.Dense
	svd.UTo(&u)
	svd.VTo(&v)
	s := svd.Values(nil)
	all := mat.Norm(mat.NewVecDense(len(s), s), 2)
	kept := s[:min(rank, len(s))]
	share = math.Pow(mat.Norm(mat.NewVecDense(len(kept), kept), 2)/all, 2)
	for i := len(kept); i < len(s); i++ {
		s[i] = 0
	}
	u.Mul(&u, mat.NewDiagDense(len(s), s))
	cut.Mul(&u, v.T())
	w = slices.Clone(r.w)
	for i := range w {
		if !r.inside[i] {
			w[i] = cut.At(i/r.cols, i%r.cols)
		}
	}
	return w, share
}

// cutToLargest is W with its largest n entries outside the support, and the share of the
// energy that stays.
func (r *relaxed) cutToLargest(n int) (w []float64, share float64) {
	off := r.outside()
	order := make([]int, len(off))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(math.Abs(off[j]), math.Abs(off[i])) })
	w = slices.Clone(r.w)
	var kept, all float64
	for k, i := range order {
		all += off[i] * off[i]
		if k < n {
			kept += off[i] * off[i]
		} else if !r.inside[i] {
			w[i] = 0
		}
	}
	return w, kept / all
}

// compressed compresses an eFCN, checks it, and reads it back from its bytes.
func compressed(t *testing.T, efcn *onnxio.Model, target compress.Target) (*onnxio.Model, *compress.Report) {
	t.Helper()
	out, report, err := compress.Compress(t.Context(), efcn, compress.Options{Target: target})
	if err != nil {
		t.Fatal(err)
	}
	if err := out.Check(); err != nil {
		t.Fatal(err)
	}
	return testnet.Reread(t, out), report
}

// check compares the matrix that the eFCN multiplies with, found by running it on unit
// vectors, with want, and the report with the two.
func (r *relaxed) check(t *testing.T, efcn *onnxio.Model, report *compress.Report, want []float64, share float64) {
	t.Helper()
	plain := efcn.Clone()
	rec, err := record.Read(efcn)
	if err != nil {
		t.Fatal(err)
	}
	if bias := rec.Layers[0].Bias; bias != "" {
		for i, old := range plain.Graph.Initializers {
			if old.Name == bias {
				plain.Graph.Initializers[i] = onnxio.NewTensor(bias, old.Dims, make([]float32, r.rows))
			}
		}
	}
	_, _, got := testnet.MatrixOf(t, plain, r.shape)
	scale := mat.Norm(mat.NewVecDense(len(r.w), slices.Clone(r.w)), math.Inf(1))
	var apart, all float64
	for i, w := range want {
		tolerance := 2e-6 * scale
		if r.inside[i] {
			tolerance = 0x1p-22 * scale // of float32's rounding, once for L and once for U·V
		}
		if math.Abs(got[i]-w) > tolerance {
			t.Fatalf("entry %d (inside %v) is %v, want %v", i, r.inside[i], got[i], w)
		}
		apart, all = apart+(w-r.w[i])*(w-r.w[i]), all+r.w[i]*r.w[i]
	}
	l := report.Layers[0]
	if math.Abs(l.Change-math.Sqrt(apart/all)) > 2e-6 || math.Abs(l.Energy-share) > 1e-6 {
		t.Errorf("reported are change %v and energy %v, want %v and %v", l.Change, l.Energy, math.Sqrt(apart/all), share)
	}
	if _, measured := testnet.Project(t, efcn); measured.Layers[0].Node != l.Node {
		t.Errorf("layer %q is measured, %q was compressed", measured.Layers[0].Node, l.Node)
	}
	a, err := record.Open(efcn, l.Node)
	if err != nil {
		t.Fatal(err)
	}
	size := int64(0)
	for _, c := range efcn.Graph.Initializers {
		size += c.Data.Len()
	}
	for _, c := range efcn.Graph.SparseConstants() {
		size += c.Values.Data.Len() + c.Indices.Data.Len()
	}
	if a.StoredBytes() != l.After || size != report.After {
		t.Errorf("%d bytes of the layer and %d of all weights, reported are %d and %d", a.StoredBytes(), size, l.After,
			report.After)
	}
}

// TestCompress cuts random matrices of random layers, and compares what is left with a
// full decomposition or with a sort of all entries; from dense, and once more from each
// other layout that holds the same matrix.
func TestCompress(t *testing.T) {
	rng := rand.New(rand.NewPCG(15, 3))
	ran := 0
	for _, op := range []string{"Conv", "ConvTranspose", "AveragePool", "GlobalAveragePool", "ReduceMean", "ReduceSum", "MatMul"} {
		for i := range 8 {
			cnn, shape, _, bias := testnet.RandomLayer(rng, op)
			r := relax(t, rng, cnn, shape, bias)
			if r == nil || !slices.Contains(r.inside, false) {
				continue
			}
			ran++
			t.Run(fmt.Sprint(op, i), func(t *testing.T) {
				full := min(r.rows, r.cols)
				rank := 1 + i%3
				cut, share := r.cutToRank(t, rank)
				n := int(math.Round(0.3 * float64(len(r.w)-count(r.inside))))
				largest, shareLargest := r.cutToLargest(n)
				local, _ := r.cutToLargest(0)

				whole, _ := compressed(t, r.efcn, compress.Target{Layout: record.Factored, Rank: full})
				all, _ := compressed(t, r.efcn, compress.Target{Layout: record.Sparse, Keep: 1})
				for _, from := range []*onnxio.Model{r.efcn, whole, all} {
					factored, report := compressed(t, from, compress.Target{Layout: record.Factored, Rank: rank})
					r.check(t, factored, report, cut, share)
					back, report := compressed(t, factored, compress.Target{Layout: record.Dense})
					if report.Layers[0].Change != 0 || report.Layers[0].Energy != 1 {
						t.Errorf("the way back changes %+v", report.Layers[0])
					}
					sameMatrix(t, factored, back)
					sameCut(t, factored, back)
					sparse, report := compressed(t, from, compress.Target{Layout: record.Sparse, Keep: 0.3})
					if from != whole { // whose entries are rounded, and ties with them
						r.check(t, sparse, report, largest, shareLargest)
					}
					if report.Layers[0].Entries != int64(n) {
						t.Errorf("%d entries outside the support, want %d", report.Layers[0].Entries, n)
					}
					supported, report := compressed(t, from, compress.Target{Layout: record.Local})
					r.check(t, supported, report, local, 0)
					again, report := compressed(t, supported, compress.Target{Layout: record.Factored, Rank: rank})
					if report.Layers[0].Change != 0 || report.Layers[0].OffLocal != 0 {
						t.Errorf("a local layer loses %+v", report.Layers[0])
					}
					sameMatrix(t, supported, again)
				}
			})
		}
	}
	if ran < 35 {
		t.Errorf("%d layers compressed, want at least 35", ran)
	}
}

func count(all []bool) (n int) {
	for _, b := range all {
		if b {
			n++
		}
	}
	return n
}

// sameMatrix compares the matrices of the first layer of two eFCNs bit for bit.
func sameMatrix(t *testing.T, a, b *onnxio.Model) {
	t.Helper()
	if !slices.Equal(matrixOf(t, a), matrixOf(t, b)) {
		t.Error("the matrices differ")
	}
}

// matrixOf is the matrix of the first layer as it is read.
func matrixOf(t *testing.T, m *onnxio.Model) []float32 {
	t.Helper()
	all, err := record.OpenAll(m)
	if err != nil {
		t.Fatal(err)
	}
	w, err := onnxio.Floats[float32](all[0].Dense(t.Context(), false))
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// sameCut compares what is cut, and measured, of a factored layer, which has a part of U·V
// in the support, with the same of its dense form.
func sameCut(t *testing.T, factored, dense *onnxio.Model) {
	t.Helper()
	var matrices [2][]float32
	var values [2][]float64
	for i, m := range []*onnxio.Model{factored, dense} {
		spectra, err := compress.Spectra(t.Context(), m, 3)
		if err != nil {
			t.Fatal(err)
		}
		values[i] = spectra[0].Values
		cut, _ := compressed(t, m, compress.Target{Layout: record.Factored, Rank: 1})
		matrices[i] = matrixOf(t, cut)
	}
	for i, v := range values[0] {
		if math.Abs(v-values[1][i]) > 1e-6*values[1][0] {
			t.Errorf("singular value %d of the factored layer is %v, of its dense form %v", i, v, values[1][i])
		}
	}
	if v := values[1]; len(v) > 1 && v[1] > 0.9*v[0] {
		return // the vectors of values that are close are not settled by the matrix
	}
	for i, v := range matrices[0] {
		if math.Abs(float64(v-matrices[1][i])) > 1e-4*values[1][0] {
			t.Fatalf("entry %d of the cut is %v, of the dense form %v", i, v, matrices[1][i])
		}
	}
}

// TestTies: of entries of one magnitude, either sign, the first stay, and no more than
// were asked for.
func TestTies(t *testing.T) {
	rng := rand.New(rand.NewPCG(15, 6))
	cnn := testnet.Small(17, []int64{1, 6, 6}, []*onnxio.Tensor{testnet.Floats("w", rng, 1, 1, 3, 3)}, testnet.Node("Conv", "x w", "y"))
	r := relax(t, rng, cnn, []int64{1, 6, 6}, false)
	values := make([]float32, len(r.w))
	for i := range values {
		values[i] = []float32{0, 0.25, -0.25, 0.25, -0.5, 0}[rng.IntN(6)]
		r.w[i] = float64(values[i])
	}
	for i, old := range r.efcn.Graph.Initializers {
		if old.Name == "conv.weight" {
			r.efcn.Graph.Initializers[i] = onnxio.NewTensor(old.Name, old.Dims, values)
		}
	}
	outside := float64(len(r.w) - count(r.inside))
	for _, n := range []int{1, 40, 150, 300} { // within the largest, within those at 0.25, and all that are not zero
		sparse, report := compressed(t, r.efcn, compress.Target{Layout: record.Sparse, Keep: float64(n) / outside})
		largest, share := r.cutToLargest(n)
		r.check(t, sparse, report, largest, share)
	}
}

// TestSigns: the seed decides nothing about U and V but the last bits, so that what two runs
// write can be compared, and interpolated.
func TestSigns(t *testing.T) {
	rng := rand.New(rand.NewPCG(15, 7))
	cnn := testnet.Small(17, []int64{2, 9, 9}, []*onnxio.Tensor{testnet.Floats("w", rng, 3, 2, 3, 3)}, testnet.Node("Conv", "x w", "y"))
	r := relax(t, rng, cnn, []int64{2, 9, 9}, false)
	var first [2][]float32
	for seed := range uint64(6) {
		out, _, err := compress.Compress(t.Context(), r.efcn, compress.Options{
			Target: compress.Target{Layout: record.Factored, Rank: 3}, Seed: seed,
		})
		if err != nil {
			t.Fatal(err)
		}
		a, err := record.Open(out, "conv")
		if err != nil {
			t.Fatal(err)
		}
		u, v, rank, err := a.Factors()
		if err != nil || rank != 3 {
			t.Fatal(rank, err)
		}
		if seed == 0 {
			first = [2][]float32{u, v}
		}
		for i, factor := range [][]float32{u, v} {
			for j, x := range factor {
				if math.Abs(float64(x-first[i][j])) > 1e-4 {
					t.Fatalf("seed %d, entry %d of factor %d: %v, with seed 0 %v", seed, j, i, x, first[i][j])
				}
			}
		}
		for row := range slices.Chunk(v, len(v)/3) {
			if slices.Max(row) < -slices.Min(row) {
				t.Errorf("seed %d: the largest entry of a row of V is negative", seed)
			}
		}
	}
}

// TestEnergy: the rank is the smallest that has the share of the energy.
func TestEnergy(t *testing.T) {
	rng := rand.New(rand.NewPCG(15, 4))
	cnn := testnet.Small(17, []int64{2, 9, 9}, []*onnxio.Tensor{testnet.Floats("w", rng, 3, 2, 3, 3)}, testnet.Node("Conv", "x w", "y"))
	r := relax(t, rng, cnn, []int64{2, 9, 9}, false)
	for _, energy := range []float64{0.05, 0.3, 0.5, 0.6} {
		want := 1
		for ; ; want++ {
			if _, share := r.cutToRank(t, want); share >= energy {
				break
			}
		}
		_, report := compressed(t, r.efcn, compress.Target{Layout: record.Factored, Energy: energy})
		if got := report.Layers[0]; got.Rank != int64(want) || got.Energy < energy {
			t.Errorf("energy %v: rank %d with %v, want rank %d", energy, got.Rank, got.Energy, want)
		}
	}
	// With more the factors are no smaller than the matrix.
	_, _, err := compress.Compress(t.Context(), r.efcn, compress.Options{Target: compress.Target{Layout: record.Factored, Energy: 0.99}})
	var e *compress.EnergyError
	if !errors.As(err, &e) || e.Layer != "conv" || e.Reached >= 0.99 {
		t.Fatalf("%v", err)
	}
	local, dense := int64(4*147*18), int64(4*147*162)
	if size := func(rank int) int64 { return local + 4*int64(rank)*(147+162) }; size(e.Rank) >= dense || size(e.Rank+1) < dense {
		t.Errorf("rank %d is not the largest with which a factored layer is smaller", e.Rank)
	}
	if _, share := r.cutToRank(t, e.Rank); math.Abs(share-e.Reached) > 1e-3 {
		t.Errorf("rank %d has %v of the energy, reported is %v", e.Rank, share, e.Reached)
	}
}

// TestLayers: layers have targets of their own, others stay what they are.
func TestLayers(t *testing.T) {
	efcn := testnet.Embedded(t, testnet.ReadFolded(t, "plain-torchscript"), convert.Options{Layout: record.Dense})
	const first, second, last = "/conv1/Conv", "/conv2/Conv", "/fc/Gemm"
	out, report, err := compress.Compress(t.Context(), efcn, compress.Options{
		Target: compress.Target{Layout: record.Factored, Rank: 4},
		Layers: map[string]compress.Target{second: {Layout: record.Keep}},
	})
	if err != nil {
		t.Fatal(err)
	}
	rec, err := record.Read(out)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]record.Layout{}
	for i, l := range rec.Layers {
		got[l.Node] = l.Layout
		if row := report.Layers[i]; row.Layout != l.Layout || row.Rank != l.Rank || row.From != record.Dense {
			t.Errorf("%s is %s of rank %d, the report says %+v", l.Node, l.Layout, l.Rank, row)
		}
	}
	if got[first] != record.Factored || got[second] != record.Dense || got[last] != record.Dense ||
		report.Layers[1].Unchanged != "asked to be kept" || !strings.HasPrefix(report.Layers[2].Unchanged, "fully connected") {
		t.Errorf("layouts %v, report %+v", got, report.Layers)
	}
	if report.Before <= report.After || report.Layers[0].Before != 4*784*int64(rec.Layers[0].OutputShape[0])*int64(rec.Layers[0].OutputShape[1])*int64(rec.Layers[0].OutputShape[2]) {
		t.Errorf("%+v", report)
	}
}

func TestRefused(t *testing.T) {
	dense := testnet.Embedded(t, testnet.ReadFolded(t, "plain-torchscript"), convert.Options{Layout: record.Dense})
	old := testnet.ReadFolded(t, "plain-torchscript")
	old.Opsets = []onnxio.Opset{{Version: 9}}
	oldDense := testnet.Embedded(t, old, convert.Options{Layout: record.Dense})
	rank := compress.Target{Layout: record.Factored, Rank: 2}
	notFinite := dense.Clone()
	for i, c := range notFinite.Graph.Initializers {
		if c.Name == "/conv1/Conv.weight" {
			v, err := onnxio.Floats[float32](c)
			if err != nil {
				t.Fatal(err)
			}
			v = slices.Clone(v)
			v[len(v)-1] = float32(math.NaN())
			notFinite.Graph.Initializers[i] = onnxio.NewTensor(c.Name, c.Dims, v)
		}
	}
	for _, test := range []struct {
		efcn *onnxio.Model
		o    compress.Options
		want string
	}{
		{dense, compress.Options{}, `layout "": want factored, sparse, local, dense or keep`},
		{dense, compress.Options{Target: compress.Target{Layout: record.Auto}}, `layout "auto": want`},
		{dense, compress.Options{Target: compress.Target{Layout: record.Factored}}, "want a rank, or the share of the energy"},
		{dense, compress.Options{Target: compress.Target{Layout: record.Factored, Rank: 2, Energy: 0.5}}, "want a rank, or the share"},
		{dense, compress.Options{Target: compress.Target{Layout: record.Factored, Rank: -1}}, "rank -1: want at least 1"},
		{dense, compress.Options{Target: compress.Target{Layout: record.Factored, Energy: 1}}, "energy 1: want a number above 0 and below 1"},
		{dense, compress.Options{Target: compress.Target{Layout: record.Factored, Energy: math.NaN()}}, "energy NaN: want"},
		{dense, compress.Options{Target: compress.Target{Layout: record.Sparse}}, "above 0 and at most 1, got 0"},
		{dense, compress.Options{Target: compress.Target{Layout: record.Sparse, Keep: 1.1}}, "above 0 and at most 1, got 1.1"},
		{dense, compress.Options{Target: compress.Target{Layout: record.Sparse, Keep: math.NaN()}}, "got NaN"},
		{dense, compress.Options{Target: compress.Target{Layout: record.Sparse, Keep: 0.5, Rank: 3}}, "layout sparse has no rank"},
		{dense, compress.Options{Target: compress.Target{Layout: record.Local, Keep: 0.5}}, "layout local keeps no share of entries"},
		{dense, compress.Options{Target: rank, MaxBytes: -1}, "max bytes: -1 is negative"},
		{dense, compress.Options{Target: rank, Layers: map[string]compress.Target{"x": rank}}, `layer "x": the eFCN has none of that name; it has ["/conv1/Conv"`},
		{dense, compress.Options{Target: rank, Layers: map[string]compress.Target{"/fc/Gemm": rank}}, `layer "/fc/Gemm" has nothing outside a support to leave out: fully connected`},
		{dense, compress.Options{Target: rank, Layers: map[string]compress.Target{"/fc/Gemm": {Layout: record.Sparse}}}, `layer "/fc/Gemm": layout sparse: want`},
		{dense, compress.Options{Target: rank, MaxBytes: 100}, "more than the 100 allowed"},
		{testnet.ReadFolded(t, "plain-torchscript"), compress.Options{Target: rank}, "not an eFCN"},
		{oldDense, compress.Options{Target: rank}, "opset 9: layout factored needs a Gemm of two inputs"},
		{oldDense, compress.Options{Target: compress.Target{Layout: record.Sparse, Keep: 0.5}}, "opset 9 has no sparse constants"},
		{notFinite, compress.Options{Target: rank}, "not all finite"},
	} {
		if m, _, err := compress.Compress(t.Context(), test.efcn, test.o); err == nil || m != nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%+v: %v, want %q", test.o, err, test.want)
		}
	}
	// The local form needs neither.
	if _, _, err := compress.Compress(t.Context(), oldDense, compress.Options{Target: compress.Target{Layout: record.Local}}); err != nil {
		t.Error(err)
	}
}

// TestBudget: what the error names is enough, and a byte less is not. Where it is found
// before any work, it is a lower bound.
func TestBudget(t *testing.T) {
	dense := testnet.Embedded(t, testnet.ReadFolded(t, "plain-torchscript"), convert.Options{Layout: record.Dense})
	for _, target := range []compress.Target{{Layout: record.Factored, Rank: 3}, {Layout: record.Sparse, Keep: 0.1}, {Layout: record.Local}} {
		_, report, err := compress.Compress(t.Context(), dense, compress.Options{Target: target})
		if err != nil {
			t.Fatal(err)
		}
		_, over, err := compress.Compress(t.Context(), dense, compress.Options{Target: target, MaxBytes: report.After - 1})
		var e *compress.BudgetError
		if !errors.As(err, &e) || e.Need != report.After || e.Allowed != report.After-1 || e.AtLeast ||
			e.Target != target || over == nil {
			t.Errorf("%+v: %v", target, err)
		}
		_, _, err = compress.Compress(t.Context(), dense, compress.Options{Target: target, MaxBytes: 1})
		if !errors.As(err, &e) || !e.AtLeast || e.Need > report.After || !strings.HasPrefix(err.Error(), "at least ") {
			t.Errorf("%+v: %v", target, err)
		}
		if _, _, err := compress.Compress(t.Context(), dense, compress.Options{Target: target, MaxBytes: report.After}); err != nil {
			t.Errorf("%+v: %v", target, err)
		}
	}
}
