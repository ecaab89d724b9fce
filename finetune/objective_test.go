package finetune

import (
	"context"
	"math"
	"slices"
	"strings"
	"testing"
)

// A step along the gradient of an Objective is the step that training takes.
func TestObjectiveIsWhatTrainingDescends(t *testing.T) {
	const n, rate = 40, 0.125
	m, set := toyModel(), toySet(n, 1)
	o, err := NewObjective(t.Context(), nil, m, set, n)
	if err != nil {
		t.Fatal(err)
	}
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	loss, gradient, err := o.Gradient(all)
	if err != nil {
		t.Fatal(err)
	}
	var report Epoch
	trained, err := Train(context.Background(), m, set, nil, Options{Epochs: 1, Batch: n, Rate: rate},
		func(e Epoch) error {
			report = e
			return nil
		})
	if err != nil {
		t.Fatal(err)
	}
	// The two sum the batch in different orders.
	if d := math.Abs(loss - report.Train.Loss); d > 1e-6*loss {
		t.Errorf("loss %v, in training %v", loss, report.Train.Loss)
	}
	checked := 0
	for i, name := range o.Names() {
		after := floatsOf(t, trained, name)
		for k, w := range o.Weights()[i] {
			step := float64(rate * gradient[i][k])
			if d := math.Abs(float64(w) - step - float64(after[k])); d > 1e-5*max(1, math.Abs(step)) {
				t.Fatalf("%s[%d]: %v − %v, trained to %v", name, k, w, step, after[k])
			}
			checked++
		}
	}
	if checked < 100 {
		t.Errorf("%d weights compared", checked)
	}
}

func TestObjectiveRefuses(t *testing.T) {
	for _, batch := range []int{0, 41} {
		_, err := NewObjective(t.Context(), nil, toyModel(), toySet(40, 1), batch)
		if err == nil || !strings.Contains(err.Error(), "1 to 40") {
			t.Errorf("batch %d: %v", batch, err)
		}
	}
	o, err := NewObjective(t.Context(), nil, toyModel(), toySet(40, 1), 4)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := o.Gradient([]int{1}); err == nil {
		t.Error("one sample for a batch of four: no error")
	}
	o.Weights()[0][0] = float32(math.NaN())
	if _, _, err := o.Gradient([]int{0, 1, 2, 3}); err == nil || !strings.Contains(err.Error(), "finite") {
		t.Errorf("a weight that is no number: %v", err)
	}
}

// What Logits returns has the metrics that Evaluate finds.
func TestLogitsAndMeasure(t *testing.T) {
	m, set := toyModel(), toySet(33, 2)
	want, err := Evaluate(context.Background(), m, set, 10)
	if err != nil {
		t.Fatal(err)
	}
	classes, logits, err := Logits(context.Background(), nil, m, set, 7)
	if err != nil {
		t.Fatal(err)
	}
	if classes*set.N() != len(logits) || slices.Max(set.Labels) >= classes {
		t.Fatalf("%d logits of %d classes for %d samples", len(logits), classes, set.N())
	}
	got := Measure(classes, logits, set.Labels)
	if got.N != want.N || got.Top1 != want.Top1 || math.Abs(got.Loss-want.Loss) > 1e-6 {
		t.Errorf("%+v; evaluated at once %+v", got, want)
	}
}
