package cut_test

import (
	"testing"

	"efcn/convert"
	"efcn/convert/cut"
	"efcn/convert/internal/testnet"
	"efcn/convert/record"
)

// What the ranks measure of their parts is, added up, what is measured of the model: all
// layers are in the records of the parts, if that was asked for. Of a layer that is cut at
// groups the parts have no columns of other groups, in which nothing is stored.
func TestPartsAreMeasured(t *testing.T) {
	for _, layout := range testnet.Layouts {
		t.Run(string(layout), func(t *testing.T) {
			cnn, _ := small(17)
			m := testnet.Reread(t, integral(t, testnet.Embedded(t, cnn, convert.Options{Layout: layout})))
			want, err := record.Measure(t.Context(), m, nil)
			if err != nil {
				t.Fatal(err)
			}
			of := map[string]record.Counts{}
			cutLayers := map[string]bool{}
			all := parts(t, m, 3, cut.Options{Least: 65, Support: true})
			for _, l := range all[0].Layers {
				cutLayers[l.Node] = l.Whole == ""
			}
			for r, p := range all {
				got, err := record.Measure(t.Context(), p.Model, nil)
				if err != nil {
					t.Fatal(err)
				}
				if len(got.Layers) != len(want.Layers) {
					t.Errorf("rank %d: %d layers, want %d", r, len(got.Layers), len(want.Layers))
				}
				for _, l := range got.Layers {
					c := of[l.Node]
					if r == 0 || cutLayers[l.Node] {
						c.Support, c.NonZero, c.NonZeroLocal = c.Support+l.Support, c.NonZero+l.NonZero, c.NonZeroLocal+l.NonZeroLocal
					}
					of[l.Node] = c
				}
			}
			measured := 0
			for _, l := range want.Layers {
				l.Entries = 0
				if of[l.Node] != l.Counts {
					t.Errorf("layer %q: the parts have %+v, the model %+v", l.Node, of[l.Node], l.Counts)
				}
				if l.NotMeasured == "" {
					measured++
				}
			}
			if measured != 5 {
				t.Errorf("%d layers are measured, want 5", measured)
			}
		})
	}
}
