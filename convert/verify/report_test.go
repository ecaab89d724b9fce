package verify_test

import (
	"context"
	"encoding/json"
	"math"
	"strings"
	"testing"

	"efcn/convert"
	"efcn/convert/record"
	"efcn/convert/verify"
	"efcn/onnxio"
)

// text is what a report prints.
func text(t *testing.T, r *verify.Report) string {
	t.Helper()
	var b strings.Builder
	if err := r.WriteText(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestReport: what a report says of faults and of numbers that are not finite,
// and that its JSON holds all that its text does.
func TestReport(t *testing.T) {
	huge := func(t *testing.T, m *onnxio.Model) {
		edit(t, m, "w2", func(v []float32, _ []int64) { v[0] = math.MaxFloat32 })
	}
	tests := []struct {
		name      string
		cnn, efcn func(t *testing.T, m *onnxio.Model) // efcn nil: the CNN converted
		both      func(t *testing.T, m *onnxio.Model)
		layout    record.Layout
		equal     bool
		says      []string
	}{
		{
			name: "equal", layout: record.Dense, equal: true,
			says: []string{"all of the elements", "argmax agrees on 16 of 16 samples\n", "EQUAL: every number that the eFCN stores is the CNN's, and on all 16 samples"},
		},
		{
			name: "a weight of a local layer", layout: record.Local,
			efcn: func(t *testing.T, m *onnxio.Model) {
				edit(t, m, "conv2.weight", func(v []float32, _ []int64) { v[100] *= 2 })
			},
			says: []string{
				`where they part, in float64`, `the last values that agree    "bn2_out"`, `"conv2_out/seen", computed by node "conv2_out/seen/Gather" (Gather)`,
				`that element is a sum over "bn2_out"`, "1 of 24 terms have other weights",
			},
		},
		{
			name: "a weight of a sparse layer", layout: record.Sparse,
			efcn: func(t *testing.T, m *onnxio.Model) {
				editSparse(t, m, "conv2.weight", func(v []float32, i []int64) ([]float32, []int64) {
					v[100] *= 2
					return v, i
				})
			},
			says: []string{`that element is a sum over "bn2_out"`, " terms have other weights"},
		},
		{
			name: "another model", says: []string{"A     \nB     \n", `"conv2_out", computed by node "conv2" (Conv)`, "input 1 of \"conv2\" and \"conv2\", constants \"w2\" and \"w2\": 1 of 216 elements differ"},
			efcn: func(t *testing.T, m *onnxio.Model) {
				edit(t, m, "w2", func(v []float32, _ []int64) { v[11] *= 1.01 })
			},
		},
		{
			name: "an infinity in both", both: huge, equal: true,
			says: []string{"the first infinite in A, in float32: element", `of "conv2_out", computed by node "conv2" (Conv)`, "the first NaN in B", "no finite numbers: NaN"},
		},
		{
			name: "NaN in one", efcn: func(t *testing.T, m *onnxio.Model) {
				edit(t, m, "fc.bias", func(v []float32, _ []int64) { v[2] = float32(math.NaN()) })
			},
			says: []string{"no finite numbers: NaN 0 in A, 16 in B; infinite 0 and 0", `the first NaN in B, in float64: element [0 2] of "fc_out"`},
		},
		{
			name: "a tie that is decided by one unit in the last place",
			cnn: func(t *testing.T, m *onnxio.Model) {
				edit(t, m, "fc.weight", func(v []float32, _ []int64) { copy(v[4:8], v[:4]) })
				edit(t, m, "fc.bias", func(v []float32, _ []int64) { v[0], v[1] = 1e6, 1e6 })
			},
			layout: record.Dense,
			efcn: func(t *testing.T, m *onnxio.Model) {
				edit(t, m, "fc.bias", func(v []float32, _ []int64) { ulp(v, 1) })
			},
			says: []string{"argmax agrees on 0 of 16 samples; on the others the CNN prefers its own by at most 0; a tie in 16"},
		},
	}
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			cnn := mutable()
			for _, f := range []func(*testing.T, *onnxio.Model){c.cnn, c.both} {
				if f != nil {
					f(t, cnn)
				}
			}
			efcn := cnn.Clone()
			if c.layout != "" {
				efcn = converted(t, cnn, convert.Options{Layout: c.layout})
				efcn.Path = ""
			}
			if c.efcn != nil {
				c.efcn(t, efcn)
			}
			r, err := verify.Verify(context.Background(), cnn, efcn, verify.Options{Samples: 16})
			if err != nil {
				t.Fatal(err)
			}
			got := text(t, r)
			_, rest, _ := strings.Cut(got, "\n\n")
			if rest[0] != 'A' && rest[0] != 'C' {
				got = "A     \nB     \n" + got
			}
			for _, want := range c.says {
				if !strings.Contains(got, want) {
					t.Errorf("it does not say %q", want)
				}
			}
			sumsUp(t, r.Parting)
			if r.Equal() != c.equal {
				t.Errorf("equal %t", r.Equal())
			}
			b, err := json.Marshal(r)
			if err != nil {
				t.Fatal(err)
			}
			var again verify.Report
			if err := json.Unmarshal(b, &again); err != nil {
				t.Fatal(err)
			}
			if text(t, &again) != text(t, r) {
				t.Errorf("what is printed from the JSON is not what is printed from the report:\n%s", text(t, &again))
			}
			if want := map[bool]string{true: `{"equal":true,"verdict":"EQUAL`, false: `{"equal":false,"verdict":"NOT EQUAL: they part at `}[c.equal]; !strings.HasPrefix(string(b), want) {
				t.Errorf("the JSON begins with %.60s", b)
			}
			if t.Failed() {
				t.Log(got)
			}
		})
	}
}
