package record_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"efcn/convert"
	"efcn/convert/internal/testnet"
	"efcn/convert/record"
	"efcn/convert/restore"
	"efcn/onnxio"
)

// withFactors returns an eFCN of one factored layer with other factors.
func withFactors(t *testing.T, efcn *onnxio.Model, u, v []float32) *onnxio.Model {
	t.Helper()
	rec, err := record.Read(efcn)
	if err != nil {
		t.Fatal(err)
	}
	m, l := efcn.Clone(), rec.Layers[0]
	for i, old := range m.Graph.Initializers {
		for name, values := range map[string][]float32{l.Left: u, l.Right: v} {
			if old.Name == name {
				m.Graph.Initializers[i] = onnxio.NewTensor(name, old.Dims, values)
			}
		}
	}
	return m
}

func normals(rng *rand.Rand, n int, deviation float64) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(deviation * rng.NormFloat64())
	}
	return v
}

// product is U·V in float64.
func product(u, v []float32, rows, rank, cols int) []float64 {
	b := make([]float64, rows*cols)
	for r := range rows {
		for k := range rank {
			for c := range cols {
				b[r*cols+c] += float64(u[r*rank+k]) * float64(v[k*cols+c])
			}
		}
	}
	return b
}

// TestFactored gives random layers random local weights and factors, and compares what
// is measured and exported of them, and their dense form, with W = L + U·V formed in
// full. The ties are found by running the CNN on unit vectors.
func TestFactored(t *testing.T) {
	rng := rand.New(rand.NewPCG(15, 1))
	ran := 0
	for _, op := range []string{"Conv", "ConvTranspose", "AveragePool", "GlobalAveragePool", "ReduceMean", "ReduceSum", "MatMul"} {
		for i := range 15 {
			cnn, shape, channels, bias := testnet.RandomLayer(rng, op)
			plain := cnn
			if bias {
				plain = cnn.Clone()
				plain.Graph.Nodes[0].Inputs = plain.Graph.Nodes[0].Inputs[:2]
			}
			o := convert.Options{Layout: record.Factored, Rank: 1 + i%3}
			if _, err := convert.NewPlan(cnn, o); err != nil {
				continue // pads that leave a transposed convolution nothing
			}
			rows, cols, a := testnet.MatrixOf(t, plain, shape)
			if rows == 0 || !slices.ContainsFunc(a, func(v float64) bool { return v != 0 }) {
				continue
			}
			ran++
			l := make([]float32, rows*cols)
			for j, v := range a {
				if v != 0 {
					l[j] = float32(v + 0.3*rng.NormFloat64())
				}
			}
			rank := min(1+i%3, rows, cols)
			u, v := normals(rng, rows*rank, 0.3), normals(rng, rank*cols, 0.5)
			clear(u[:rank]) // a row that is still what it was
			w := product(u, v, rows, rank, cols)
			for j := range w {
				w[j] += float64(l[j])
			}
			t.Run(fmt.Sprint(op, i), func(t *testing.T) {
				efcn := withFactors(t, put(t, testnet.Embedded(t, cnn, o), l, cols), u, v)
				compareMeasured(t, efcn, cnn, w, a, tied(a, rows, cols, channels))
				compareMatrix(t, efcn, w)
			})
		}
	}
	if ran < 95 {
		t.Errorf("%d layers compared, want at least 95", ran)
	}
}

// compareMeasured compares what is measured of an eFCN of one layer with its matrix w;
// a is that of the CNN, and classes its tied entries.
func compareMeasured(t *testing.T, efcn, cnn *onnxio.Model, w, a []float64, classes map[[2]float64][]int) {
	t.Helper()
	d, err := testnet.MeasuredFrom(t.Context(), efcn, cnn)
	if err != nil {
		t.Fatal(err)
	}
	nearest := make([]float64, len(w))
	for _, class := range classes {
		var sum float64
		for _, i := range class {
			sum += w[i]
		}
		for _, i := range class {
			nearest[i] = sum / float64(len(class))
		}
	}
	var all, off, apart, from, norm float64
	counts := record.Counts{Entries: int64(len(w))}
	for i, v := range w {
		if a[i] != 0 {
			counts.Support++
		} else {
			off += v * v
		}
		if v != 0 {
			counts.NonZero++
		}
		if v != 0 && a[i] != 0 {
			counts.NonZeroLocal++
		}
		k := float64(float32(a[i]))
		all += v * v
		apart += (v - nearest[i]) * (v - nearest[i])
		from, norm = from+(v-k)*(v-k), norm+k*k
	}
	near(t, "d", d.Distance, math.Sqrt(apart/all), order)
	near(t, "s", d.OffLocal, math.Sqrt(off/all), order)
	near(t, "distance from the CNN", *d.FromCNN, math.Sqrt(from/norm), order)
	near(t, "norm", d.Layers[0].Norm, math.Sqrt(all), order)
	if d.Counts != counts {
		t.Errorf("%+v entries, want %+v", d.Counts, counts)
	}
	once, reported := testnet.Project(t, efcn)
	near(t, "reported d", reported.Distance, d.Distance, order)
	again, err := record.Measure(t.Context(), testnet.Embedded(t, once, convert.Options{Layout: record.Factored}), nil)
	if err != nil || again.Distance != 0 || again.OffLocal != 0 {
		t.Errorf("the projection is not in the CNN subspace: %+v, %v", again, err)
	}
}

// compareMatrix compares the matrix that is read of an eFCN of one layer, and its dense
// form, with w, whose terms may be summed in another order.
func compareMatrix(t *testing.T, efcn *onnxio.Model, w []float64) {
	t.Helper()
	dense, layers, err := restore.ToDense(t.Context(), efcn, 0)
	if err != nil || len(layers) != 1 {
		t.Fatal(layers, err)
	}
	if err := dense.Check(); err != nil {
		t.Error(err)
	}
	for _, m := range []*onnxio.Model{efcn, dense} {
		all, err := record.OpenAll(m)
		if err != nil {
			t.Fatal(err)
		}
		got, err := onnxio.Floats[float32](all[0].Dense(t.Context(), false))
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range got {
			if math.Abs(float64(v)-w[i]) > 0x1p-24*math.Abs(w[i])+1e-14 {
				t.Fatalf("%s: entry %d is %v, want %v", all[0].Layer.Layout, i, v, w[i])
			}
		}
	}
}

// TestFactorsInside: where U·V lies inside the support but for a small part, s is that
// part to the precision that it says, and 0 where there is none.
func TestFactorsInside(t *testing.T) {
	rng := rand.New(rand.NewPCG(15, 2))
	const size, window = 40, 3
	cnn := testnet.Small(17, []int64{1, size}, []*onnxio.Tensor{testnet.Floats("w", rng, 1, 1, window)},
		testnet.Node("Conv", "x w", "y"))
	efcn := testnet.Embedded(t, cnn, convert.Options{Layout: record.Factored, Rank: 2})
	const rows, rank, cols, row = size - window + 1, 2, size, 7
	for _, test := range []struct{ outside, cancels float32 }{
		{}, {outside: 1e-3}, {outside: 1e-6}, {outside: 1e-9}, {cancels: 1e4}, {outside: 1e-6, cancels: 1e4},
	} {
		u, v := make([]float32, rows*rank), make([]float32, rank*cols)
		u[row*rank] = 0.7
		for c := row; c < row+window; c++ { // what that row sees
			v[c] = float32(rng.NormFloat64())
		}
		v[row+window] = test.outside
		if test.cancels != 0 { // two factors that are large, and a small one together
			u[row*rank+1] = 0.7
			for c := range cols {
				large := float32(float64(test.cancels) * rng.NormFloat64())
				v[c], v[cols+c] = large, -large
			}
			for c := row; c < row+window; c++ {
				v[cols+c] += 0.5
			}
			v[cols+row+window] += test.outside
		}
		b := product(u, v, rows, rank, cols)
		var off float64
		for c := range cols {
			if c < row || c >= row+window {
				off += b[row*cols+c] * b[row*cols+c]
			}
		}
		d, err := record.Measure(t.Context(), withFactors(t, efcn, u, v), nil)
		if err != nil {
			t.Fatal(err)
		}
		l := d.Layers[0]
		norms := func(m []float32) (n float64) {
			for _, x := range m {
				n += float64(x) * float64(x)
			}
			return math.Sqrt(n)
		}
		got, want := l.OffLocal*l.Norm, math.Sqrt(off)
		if math.Abs(got-want) > 1e-12*norms(u)*norms(v)+1e-12*want || off == 0 && got != 0 {
			t.Errorf("%+v: ‖W_off‖ is %v, want %v", test, got, want)
		}
	}
}

// TestFactorsRefused: a record whose factors are not those of the layer is refused.
func TestFactorsRefused(t *testing.T) {
	rng := rand.New(rand.NewPCG(15, 3))
	cnn := testnet.Small(17, []int64{1, 6}, []*onnxio.Tensor{testnet.Floats("w", rng, 1, 1, 3)}, testnet.Node("Conv", "x w", "y"))
	for _, test := range []struct {
		change func(l *record.Layer)
		want   string
	}{
		{func(l *record.Layer) { l.Rank = 0 }, "rank 0 of a 4×6 matrix"},
		{func(l *record.Layer) { l.Rank = 5 }, "rank 5 of a 4×6 matrix"},
		{func(l *record.Layer) { l.Rank = 3 }, `factor "conv.U": want a float32 initializer of shape [4 3]`},
		{func(l *record.Layer) { l.Right = "none" }, `factor "none": want a float32 initializer of shape [2 6]`},
	} {
		efcn := testnet.Embedded(t, cnn, convert.Options{Layout: record.Factored, Rank: 2})
		rec, err := record.Read(efcn)
		if err != nil {
			t.Fatal(err)
		}
		if rec.Version != 5 {
			t.Errorf("version %d, want 5", rec.Version)
		}
		test.change(&rec.Layers[0])
		if err := rec.Write(efcn); err != nil {
			t.Fatal(err)
		}
		if _, err := record.OpenAll(efcn); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v, want %q", err, test.want)
		}
	}
}

// TestFactorsNotFinite: what is not finite is reported, not measured.
func TestFactorsNotFinite(t *testing.T) {
	rng := rand.New(rand.NewPCG(15, 4))
	cnn := testnet.Small(17, []int64{1, 6}, []*onnxio.Tensor{testnet.Floats("w", rng, 1, 1, 3)}, testnet.Node("Conv", "x w", "y"))
	efcn := testnet.Embedded(t, cnn, convert.Options{Layout: record.Factored, Rank: 1})
	for _, bad := range []float32{float32(math.Inf(1)), float32(math.NaN())} {
		for _, u := range [][]float32{{0, 0, 0, 0}, {1, 1, 1, 1}} {
			_, err := record.Measure(t.Context(), withFactors(t, efcn, u, []float32{1, 1, 1, 1, 1, bad}), nil)
			if err == nil || !strings.Contains(err.Error(), "not all finite") {
				t.Errorf("V with %v, U %v: %v", bad, u, err)
			}
		}
	}
}
