package verify_test

import (
	"strings"
	"testing"

	"efcn/convert"
	"efcn/convert/verify"
	"efcn/onnxio"
)

// TestVerdict: the report begins with a sentence that claims what was checked.
func TestVerdict(t *testing.T) {
	heavier := mutable()
	edit(t, heavier, "w2", func(v []float32, _ []int64) { v[11] *= 1.01 })
	efcn := converted(t, mutable(), convert.Options{})
	unlike := converted(t, mutable(), convert.Options{})
	edit(t, unlike, "conv1.weight", func(v []float32, _ []int64) { v[200*conv1Cols+255] = 1 })
	sigmoid := withLast("Sigmoid")
	for _, c := range []struct {
		name   string
		a, b   *onnxio.Model
		o      verify.Options
		want   string
		random int
	}{
		{
			"an eFCN", mutable(), efcn,
			verify.Options{},
			"EQUAL: every number that the eFCN stores is the CNN's, and on all 16 samples both compute the same up to rounding", 16,
		},
		{
			"its structure alone", mutable(), efcn,
			verify.Options{Samples: -1, Skip: []string{verify.Float64, verify.Float32}},
			"EQUAL: every number that the eFCN stores is the CNN's; neither was run", 0,
		},
		{
			"an eFCN that is none", mutable(), unlike,
			verify.Options{},
			`NOT EQUAL: they part at node "conv1" (Gemm), as the check "structure" shows`, 16,
		},
		{
			"two models", mutable(), mutable(),
			verify.Options{},
			"EQUAL up to rounding on the 16 samples that were run; nothing is known of other inputs", 16,
		},
		{
			"two that differ", mutable(), heavier,
			verify.Options{},
			`NOT EQUAL: they part at node "conv2" (Conv), as the check "float64" shows`, 16,
		},
		{
			"within a tolerance", mutable(), heavier,
			verify.Options{ATol: 10},
			"EQUAL within the tolerance given, on the 16 samples that were run; beyond rounding", 16,
		},
		{
			"within a tolerance and the bounds", mutable(), mutable(),
			verify.Options{ATol: 10},
			"EQUAL within the tolerance given, on the 16 samples that were run, and up to rounding", 16,
		},
		{
			"without a bound", sigmoid, converted(t, sigmoid, convert.Options{}),
			verify.Options{ATol: 1e-5, Engines: []string{"onnxruntime:embedded"}},
			"EQUAL within the tolerance given, on the 16 samples that were run; whether rounding explains the difference is not known", 16,
		},
		// Of an eFCN the bounds have to hold as well.
		{
			"a tolerance for an eFCN that is none", mutable(), unlike,
			verify.Options{ATol: 1e9, Skip: []string{verify.Structure}},
			`NOT EQUAL: they part at node "conv1" (Conv), as the check "float64" shows`, 16,
		},
	} {
		if c.o.Samples == 0 {
			c.o.Samples = 16
		}
		if len(c.o.Engines) > 0 {
			c.o.Open = openAny(same)
		}
		r, err := verify.Verify(t.Context(), c.a, c.b, c.o)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if got, _, _ := strings.Cut(text(t, r), "\n"); got != c.want || r.Random != c.random {
			t.Errorf("%s: %s, %d random\nwant %s, %d", c.name, got, r.Random, c.want, c.random)
		}
	}
}
