package record_test

import (
	"math/rand/v2"
	"reflect"
	"testing"

	"efcn/convert"
	"efcn/convert/internal/testnet"
	"efcn/convert/record"
)

// TestCombine: what is measured layer by layer, and combined, is what Measure returns, to
// the bit.
func TestCombine(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	cnn := testnet.ReadFolded(t, "lenet-torchscript")
	for _, layout := range []record.Layout{record.Dense, record.Local, record.Factored} {
		efcn := testnet.Embedded(t, cnn, convert.Options{Layout: layout})
		rec, err := record.Read(efcn)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range rec.Layers {
			for i, w := range efcn.Graph.Initializers {
				if w.Name == l.Weight || w.Name == l.Left {
					efcn.Graph.Initializers[i] = testnet.Floats(w.Name, rng, w.Dims...)
				}
			}
		}
		origin, err := convert.Embedding(efcn, cnn)
		if err != nil {
			t.Fatal(err)
		}
		whole, err := record.Measure(t.Context(), efcn, origin)
		if err != nil {
			t.Fatal(err)
		}
		if layout == record.Dense && !(whole.OffLocal > 0.5) || !(whole.Distance > 0.1) || !(*whole.FromCNN > 0.1) {
			t.Fatalf("%s: %+v measures nothing", layout, whole)
		}
		parts := make([]*record.Deviation, 3)
		for p := range parts {
			parts[p], err = record.MeasureSome(t.Context(), efcn, origin, func(layer int) bool { return layer%3 == p })
			if err != nil {
				t.Fatal(err)
			}
		}
		if got := record.Combine(parts, true); !reflect.DeepEqual(got, whole) {
			t.Errorf("%s: combined %+v, want %+v", layout, got, whole)
		}
	}
}
