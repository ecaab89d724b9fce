package finetune

import (
	"bytes"
	"context"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"efcn/convert/record"
	"efcn/internal/tfevents"
)

func readMetrics(t *testing.T, dir string) []EpochMetrics {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, metricsName))
	if err != nil {
		t.Fatal(err)
	}
	var lines []EpochMetrics
	for line := range strings.Lines(string(text)) {
		var m EpochMetrics
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		lines = append(lines, m)
	}
	return lines
}

func TestMetrics(t *testing.T) {
	dir := t.TempDir()
	o := Options{
		Epochs: 3, Batch: 20, Rate: 0.02, Checkpoint: dir, Optimizer: Optimizer{Momentum: 0.5},
		Schedule: Schedule{Kind: "step", Every: 2},
	}
	var epochs []Epoch
	m, err := Train(t.Context(), embed(t, toyModel()), toySet(50, 1), toySet(30, 2), o, func(e Epoch) error {
		epochs = append(epochs, e)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	lines := readMetrics(t, dir)
	if len(lines) != 3 {
		t.Fatalf("%d lines, want 3", len(lines))
	}
	for i, l := range lines {
		e, rate := epochs[i], []float64{0.02, 0.02, 0.002}[i]
		if l.Epoch != i+1 || l.Steps != 3*(i+1) || math.Abs(l.Rate-rate) > 1e-15 || l.TrainLoss != e.Train.Loss ||
			l.TrainTop1 != e.Train.Top1 || l.Seconds != e.Seconds || l.PeakBytes < 1<<20 {
			t.Errorf("line %d: %+v of %+v", i, l, e)
		}
		if l.TestLoss == nil || *l.TestLoss != e.Test.Loss || *l.TestTop1 != e.Test.Top1 || *l.TestTop5 != e.Test.Top5 {
			t.Errorf("line %d: test figures", i)
		}
		if len(l.GradientNorms) != 4 {
			t.Errorf("line %d: %d gradient norms", i, len(l.GradientNorms))
		}
		for name, norm := range l.GradientNorms {
			if !(norm > 0) {
				t.Errorf("the gradient of %s has the norm %g", name, norm)
			}
		}
	}
	d, err := record.Measure(t.Context(), m, nil)
	if err != nil {
		t.Fatal(err)
	}
	if last := lines[2].Deviation; last == nil || last.Distance != d.Distance || last.OffLocal != d.OffLocal ||
		!(d.Distance > 0) || len(last.Layers) != len(d.Layers) {
		t.Errorf("deviation %+v, want %+v", last, d)
	}

	// The last line says how far the weights are from where they began.
	for name, far := range lines[2].Travelled {
		var sum float64
		start := floatsOf(t, embed(t, toyModel()), name)
		for i, v := range floatsOf(t, m, name) {
			sum += float64(v-start[i]) * float64(v-start[i])
		}
		if math.Abs(far-math.Sqrt(sum)) > 1e-6*far || !(far > 0) {
			t.Errorf("%s has travelled %g, want %g", name, far, math.Sqrt(sum))
		}
	}
	if len(lines[2].Travelled) != 4 || len(lines[2].GradientInside) != 1 || len(lines[2].GradientOutside) != 1 {
		t.Errorf("last line %+v", lines[2])
	}

	// A CNN has no deviation; plain SGD writes no gradient of matrices down.
	o.Checkpoint, o.Optimizer = t.TempDir(), Optimizer{}
	cnn := toyModel()
	cnn.Metadata = nil
	o.Checkpoint = t.TempDir()
	if _, err := Train(t.Context(), cnn, toySet(50, 1), nil, o, nil); err != nil {
		t.Fatal(err)
	}
	for _, l := range readMetrics(t, o.Checkpoint) {
		if l.Deviation != nil || l.TestLoss != nil || len(l.GradientNorms) != 6 || !(l.GradientNorms["w"] > 0) ||
			l.GradientInside != nil {
			t.Errorf("of a CNN: %+v", l)
		}
	}
}

// A run that is stopped has the lines of one that was not, whatever a kill left
// behind in the file.
func TestMetricsResume(t *testing.T) {
	dir := t.TempDir()
	o := Options{Epochs: 4, Batch: 20, Checkpoint: dir}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	epochs := 0
	_, err := Train(ctx, embed(t, toyModel()), toySet(50, 1), nil, o, func(Epoch) error {
		if epochs++; epochs == 2 {
			cancel()
		}
		return nil
	})
	if err == nil {
		t.Fatal("it did not stop")
	}
	f, err := os.OpenFile(filepath.Join(dir, metricsName), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(`{"epoch":3,"steps":9}` + "\n" + `{"epoch":4,"st`); err != nil {
		t.Fatal(err)
	}
	f.Close()
	o.Resume = true
	if _, err := Train(t.Context(), embed(t, toyModel()), toySet(50, 1), nil, o, nil); err != nil {
		t.Fatal(err)
	}
	lines := readMetrics(t, dir)
	if len(lines) != 4 {
		t.Fatalf("%d lines, want 4", len(lines))
	}
	for i, l := range lines {
		if l.Epoch != i+1 || l.Steps != 3*(i+1) || !(l.TrainLoss > 0) {
			t.Errorf("line %d: %+v", i, l)
		}
	}
	events, err := os.ReadFile(filepath.Join(dir, eventsName))
	if err != nil {
		t.Fatal(err)
	}
	want := tfevents.Start()
	for _, l := range lines {
		want = append(want, l.event()...)
	}
	if !bytes.Equal(events, want) {
		t.Error("the events are not those of the lines")
	}
}
