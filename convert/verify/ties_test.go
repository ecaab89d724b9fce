package verify

import (
	"context"
	"path/filepath"
	"slices"
	"testing"

	"efcn/onnxio"
)

// TestTies: the samples that are moved are orders of magnitude closer to a tie
// than they were.
func TestTies(t *testing.T) {
	m, err := onnxio.Read(filepath.Join("..", "..", "testdata", "models", "lenet-torchscript", "model.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	n, err := prepared(m, nil)
	if err != nil {
		t.Fatal(err)
	}
	o := &Options{}
	v := &verifier{cnn: n, options: o, report: &Report{}}
	if v.feeds, err = o.feeds(n); err != nil {
		t.Fatal(err)
	}
	before := slices.Clone(v.feeds[0].arrays["input"].F)
	gaps, err := v.tie(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	x := v.feeds[0].arrays["input"].F
	each := len(x) / v.feeds[0].size
	for s := range v.feeds[0].size {
		if same := slices.Equal(before[s*each:(s+1)*each], x[s*each:(s+1)*each]); same == tied(s) {
			t.Errorf("sample %d: moved %t, want %t", s, !same, tied(s))
		}
	}
	near := 0
	for _, g := range gaps {
		if g < 1e-3 { // the values are of the order of 1000
			near++
		}
	}
	if len(gaps) != 8 || near < 7 {
		t.Errorf("gaps %.3g; want 8, and 7 below 0.001", gaps)
	}
	t.Logf("%.3g", gaps)
}
