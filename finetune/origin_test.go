package finetune

import (
	"math"
	"testing"

	"efcn/convert"
	"efcn/convert/record"
	"efcn/convert/restore"
)

// TestMatrixTravelled compares how far the matrices of factored layers have travelled
// with their dense forms, subtracted entry by entry.
func TestMatrixTravelled(t *testing.T) {
	start := embedWith(t, toyModel(), convert.Options{Layout: record.Factored, Rank: 3})
	dir := t.TempDir()
	o := Options{Epochs: 2, Batch: 30, Rate: 0.05, Checkpoint: dir}
	end, err := Train(t.Context(), start, toySet(90, 3), nil, o, nil)
	if err != nil {
		t.Fatal(err)
	}
	lines := readMetrics(t, dir)
	last := lines[len(lines)-1]
	was, _, err := restore.ToDense(t.Context(), start, 0, record.Factored)
	if err != nil {
		t.Fatal(err)
	}
	is, _, err := restore.ToDense(t.Context(), end, 0, record.Factored)
	if err != nil {
		t.Fatal(err)
	}
	compared := 0
	for _, l := range factoredLayers(t, start) {
		var sum float64
		from := floatsOf(t, was, l.Weight)
		for i, v := range floatsOf(t, is, l.Weight) {
			sum += math.Pow(float64(v)-float64(from[i]), 2)
		}
		want := math.Sqrt(sum)
		if got := last.MatrixTravelled[l.Weight]; want == 0 || math.Abs(got-want) > 1e-5*want {
			t.Errorf("%s: travelled %g, the dense forms are %g apart", l.Node, got, want)
		}
		compared++
	}
	if compared == 0 {
		t.Error("no layer is factored")
	}

	// A run that begins elsewhere has no such figure.
	o.Checkpoint = t.TempDir()
	if _, err := Train(t.Context(), end, toySet(90, 3), nil, o, nil); err != nil {
		t.Fatal(err)
	}
	for _, line := range readMetrics(t, o.Checkpoint) {
		if line.MatrixTravelled != nil || len(line.Travelled) == 0 {
			t.Errorf("epoch %d: matrices travelled %v", line.Epoch, line.MatrixTravelled)
		}
	}
}
