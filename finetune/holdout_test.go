package finetune

import (
	"bytes"
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"efcn/onnxio"
)

// choosing are options of a run that overfits its few samples.
func choosing(h Holdout) Options {
	return Options{Epochs: 12, Batch: 10, Rate: 0.5, Seed: 4, Optimizer: Optimizer{Momentum: 0.9}, Holdout: h}
}

// TestHoldout: Train returns the model whose loss on the samples held out, measured here
// again, is least, and stops as soon as that has not fallen for so many epochs.
func TestHoldout(t *testing.T) {
	train := toySet(60, 1)
	rest, held := train.Split(12, 4)
	var models []*onnxio.Model
	var losses []float64
	o := choosing(Holdout{Share: 0.2, Best: true})
	best, err := Train(t.Context(), toyModel(), train, nil, o, func(e Epoch) error {
		m, err := e.Model()
		if err != nil {
			return err
		}
		own, err := detached(m)
		if err != nil {
			return err
		}
		measured, err := Evaluate(t.Context(), own, held, o.Batch)
		if err != nil {
			return err
		}
		if *e.Held != measured || e.Train.N != rest.N() {
			t.Errorf("epoch %d: %+v of %d samples; want %+v of %d", e.Epoch, *e.Held, e.Train.N, measured, rest.N())
		}
		models, losses = append(models, own), append(losses, measured.Loss)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	least := 0
	for i, l := range losses {
		if l < losses[least] {
			least = i
		}
	}
	if least == 0 || least == len(losses)-1 {
		t.Fatalf("losses %v: want the least within", losses)
	}
	if !bytes.Equal(encoded(t, best), encoded(t, models[least])) {
		t.Errorf("it is not the model of epoch %d, of losses %v", least+1, losses)
	}
	// The samples that are left are trained on as if they were all.
	o.Holdout = Holdout{}
	last, err := Train(t.Context(), toyModel(), rest, nil, o, nil)
	if err != nil || !bytes.Equal(encoded(t, last), encoded(t, models[len(models)-1])) {
		t.Errorf("%v: the last model is not that of a run on the rest", err)
	}

	for patience := 1; patience <= 4; patience++ {
		want, since := 0, 0
		for i, l := range losses {
			if l < losses[since] {
				since = i
			}
			if want = i + 1; i-since >= patience {
				break
			}
		}
		ran := 0
		m, err := Train(t.Context(), toyModel(), train, nil, choosing(Holdout{Share: 0.2, Patience: patience}), func(Epoch) error {
			ran++
			return nil
		})
		if err != nil || ran != want || !bytes.Equal(encoded(t, m), encoded(t, models[want-1])) {
			t.Errorf("patience %d: %v after %d epochs, want the model of epoch %d of losses %v", patience, err, ran, want, losses)
		}
	}
}

// TestHoldoutResumes: a run that was stopped anywhere ends at the same epoch with the same
// model, and one that is over stays over.
func TestHoldoutResumes(t *testing.T) {
	train := toySet(60, 1)
	o := choosing(Holdout{Share: 0.2, Best: true, Patience: 2})
	steps := 0
	o.Stepped = func(Step) { steps++ }
	whole, err := Train(t.Context(), toyModel(), train, nil, o, nil)
	if err != nil {
		t.Fatal(err)
	}
	want, all := encoded(t, whole), steps
	if all < 15 || all >= 12*5 {
		t.Fatalf("%d steps; want a run that stops early", all)
	}
	for stop := 0; stop <= all; stop += 4 {
		o.Checkpoint, o.Resume = t.TempDir(), true
		for at := stop; ; at = 9 {
			ctx, cancel := context.WithCancel(t.Context())
			if at == 0 {
				cancel()
			}
			steps := 0
			o.Stepped = func(Step) {
				if steps++; steps == at {
					cancel()
				}
			}
			m, err := Train(ctx, toyModel(), train, nil, o, nil)
			cancel()
			if errors.Is(err, context.Canceled) {
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(want, encoded(t, m)) {
				t.Fatalf("stopped after %d steps it ends with another model", stop)
			}
			break
		}
		if stop%16 > 0 {
			continue
		}
		o.Stepped = func(Step) { t.Error("a run that is over goes on") }
		m, err := Train(t.Context(), toyModel(), train, nil, o, nil)
		if err != nil || !bytes.Equal(want, encoded(t, m)) {
			t.Errorf("%v: given again, it ends with another model", err)
		}
	}
	// What a kill left behind of an epoch that the checkpoint does not have is measured again.
	held := filepath.Join(o.Checkpoint, heldName)
	text, err := os.ReadFile(held)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := readHeldOut(o.Checkpoint)
	if err != nil || len(lines) == 0 || bytes.Count(text, []byte("\n")) != len(lines) {
		t.Fatalf("%d lines, %v", len(lines), err)
	}
	if err := os.WriteFile(held, append(text, "{}\n"...), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Train(t.Context(), toyModel(), train, nil, o, nil); err == nil || !strings.Contains(err.Error(), "is of epoch 0") {
		t.Errorf("%v: a line that is none is read", err)
	}
}

func TestHoldoutRefuses(t *testing.T) {
	for _, c := range []struct {
		holdout Holdout
		want    string
	}{
		{Holdout{Share: 1, Best: true}, "share 1; want a number from 0 to below 1"},
		{Holdout{Share: math.NaN(), Best: true}, "share NaN"},
		{Holdout{Share: -0.1, Best: true}, "share -0.1"},
		{Holdout{Share: 0.1}, "nothing is chosen"},
		{Holdout{Patience: -1}, "patience -1 is negative"},
		{Holdout{Share: 0.01, Best: true}, "a share of 0.01 of 30 training samples is 0"},
		{Holdout{Share: 0.99, Best: true}, "a share of 0.99 of 30 training samples is 30"},
	} {
		_, err := Train(t.Context(), toyModel(), toySet(30, 1), nil, Options{Epochs: 1, Batch: 10, Holdout: c.holdout}, nil)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %s", c.holdout, err, c.want)
		}
	}
}
