package relax_test

import (
	"math"
	"path/filepath"
	"strings"
	"testing"

	"efcn/finetune/relax"
)

func TestEstimate(t *testing.T) {
	s := toyStudy(relax.Tied)
	e, err := s.Estimate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got := map[relax.Kind][2]int{}
	var seconds float64
	for _, c := range e.Costs {
		got[c.Kind] = [2]int{c.Runs, c.Epochs}
		seconds += c.Seconds
		if !(c.Step > 0) || math.Abs(c.Seconds-float64(c.Runs*c.Epochs)*c.Epoch) > 1e-9*c.Seconds {
			t.Errorf("%+v", c)
		}
	}
	for kind, want := range map[relax.Kind][2]int{
		relax.CNN: {2, 3}, relax.FCN: {2, 2}, relax.EFCN: {6, 2},
		relax.Tied: {6, 2},
	} {
		if got[kind] != want {
			t.Errorf("%s: %v runs and epochs, want %v", kind, got[kind], want)
		}
	}
	if len(got) != 4 || math.Abs(e.Seconds-seconds) > 1e-9*seconds || e.PeakBytes <= 0 {
		t.Errorf("%+v", e)
	}
	// The estimate of the folder is that of the models in it.
	dir := t.TempDir()
	run(t, s, dir)
	var models int64
	for name, text := range contents(t, dir) {
		if strings.HasSuffix(name, ".onnx") && filepath.Base(name) != "projected.onnx" {
			models += int64(len(text))
		}
	}
	// The graph comes on top of the weights, a kilobyte or two for each of the
	// 72 models.
	if e.DiskBytes > models || e.DiskBytes < models-72*4096 {
		t.Errorf("an estimate of %d bytes, the models have %d", e.DiskBytes, models)
	}
}
