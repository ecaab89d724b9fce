package compress_test

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"efcn/convert"
	"efcn/convert/compress"
	"efcn/convert/internal/testnet"
	"efcn/convert/record"
	"efcn/internal/arrays"
	"efcn/onnxio"
)

// TestSpectra compares singular values with numpy's, in every layout that can hold the
// matrix, and the shares of the energy with sums of numpy's squares.
func TestSpectra(t *testing.T) {
	all, err := arrays.ReadNPZ("testdata/offlocal.npz")
	if err != nil || len(all) != 4 {
		t.Fatal(len(all), err)
	}
	rng := rand.New(rand.NewPCG(15, 5))
	for i, test := range []struct {
		shape  []int64
		kernel []int64
		pad    int64
		// low is by how much of the largest a value may be low.
		low float64
	}{
		{[]int64{2, 5, 6}, []int64{3, 2, 3, 3}, 1, 1e-12}, // decomposed whole
		{[]int64{1, 17, 17}, []int64{1, 1, 5, 5}, 2, 1e-5},
	} {
		w, s := all[2*i], all[2*i+1]
		want, err := onnxio.Floats[float64](s)
		if err != nil {
			t.Fatal(err)
		}
		cnn := testnet.Small(17, test.shape, []*onnxio.Tensor{testnet.Floats("w", rng, test.kernel...)},
			testnet.Node("Conv", "x w", "y", onnxio.IntsAttr("pads", test.pad, test.pad, test.pad, test.pad)))
		efcn := testnet.Embedded(t, cnn, convert.Options{Layout: record.Dense})
		for k, old := range efcn.Graph.Initializers {
			if old.Name == "conv.weight" {
				values, err := onnxio.Floats[float32](w)
				if err != nil {
					t.Fatal(err)
				}
				efcn.Graph.Initializers[k] = onnxio.NewTensor(old.Name, old.Dims, values)
			}
		}
		sparse, _ := compressed(t, efcn, compress.Target{Layout: record.Sparse, Keep: 1})
		factored, _ := compressed(t, efcn, compress.Target{Layout: record.Factored, Rank: len(want)})
		for _, m := range []*onnxio.Model{efcn, sparse, factored} {
			low := test.low
			if m == factored {
				low += 1e-6 // U and V are rounded to float32
			}
			compareSpectrum(t, w.Name, m, want, low)
		}
		local, _ := compressed(t, efcn, compress.Target{Layout: record.Local})
		spectra, err := compress.Spectra(t.Context(), local, 3)
		if err != nil || spectra[0].OffLocal != 0 || len(spectra[0].Values) != 3 || spectra[0].Values[0] != 0 || spectra[0].Energy[0] != 0 {
			t.Errorf("%s: a local layer has %+v, %v", w.Name, spectra, err)
		}
	}
}

func compareSpectrum(t *testing.T, name string, m *onnxio.Model, want []float64, low float64) {
	t.Helper()
	var all float64
	for _, v := range want {
		all += v * v
	}
	for _, n := range []int{3, 64} {
		spectra, err := compress.Spectra(t.Context(), m, n)
		if err != nil {
			t.Fatal(err)
		}
		s := spectra[0]
		if n = min(n, len(want)); len(s.Values) != n || math.Abs(s.OffLocal-math.Sqrt(all)) > 1e-6*math.Sqrt(all) {
			t.Fatalf("%s, %s: %d values, norm %v; want %d of norm %v", name, s.Layout, len(s.Values), s.OffLocal, n, math.Sqrt(all))
		}
		for i, v := range s.Values {
			if math.Abs(v-want[i]) > low*want[0] {
				t.Errorf("%s, %s: singular value %d is %v, numpy's %v", name, s.Layout, i, v, want[i])
			}
		}
		shares := 0
		for i, k := range compress.Shares() {
			if k > n {
				break
			}
			shares++
			var sum float64
			for _, v := range want[:k] {
				sum += v * v
			}
			if math.Abs(s.Energy[i]-sum/all) > 2*low+1e-12 {
				t.Errorf("%s, %s: the first %d have %v of the energy, want %v", name, s.Layout, k, s.Energy[i], sum/all)
			}
		}
		if len(s.Energy) != shares {
			t.Errorf("%s: %d shares of %d values", name, len(s.Energy), n)
		}
	}
}

// TestSpectraOf: layers without a support are named with the reason; what cannot be is
// refused.
func TestSpectraOf(t *testing.T) {
	cnn := testnet.ReadFolded(t, "plain-torchscript")
	efcn := testnet.Embedded(t, cnn, convert.Options{Layout: record.Dense})
	spectra, err := compress.Spectra(t.Context(), efcn, 4)
	if err != nil || len(spectra) != 3 || !strings.HasPrefix(spectra[2].NotMeasured, "fully connected") || len(spectra[2].Values) != 0 ||
		spectra[0].NotMeasured != "" || spectra[0].OffLocal != 0 {
		t.Errorf("%+v, %v", spectra, err)
	}
	if _, err := compress.Spectra(t.Context(), efcn, 0); err == nil {
		t.Error("no singular values are asked for, and none is wrong")
	}
	if _, err := compress.Spectra(t.Context(), cnn, 4); !errors.Is(err, record.ErrMissing) {
		t.Errorf("a CNN: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := compress.Spectra(ended, efcn, 4); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
}
