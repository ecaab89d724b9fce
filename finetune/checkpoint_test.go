package finetune

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"efcn/convert"
	"efcn/finetune/data"
	"efcn/onnxio"
)

// A run that is stopped at any step, once or again and again, ends with the
// bits of one that was not.
func TestResume(t *testing.T) {
	train, test := toySet(53, 1), toySet(20, 2)
	for name, c := range map[string]struct {
		m *onnxio.Model
		o Options
	}{
		"sgd":      {toyModel(), Options{}},
		"nesterov": {toyModel(), Options{Optimizer: Optimizer{Momentum: 0.9, Nesterov: true}, Schedule: Schedule{Kind: "cosine", Warmup: 0.5}}},
		"adam":     {embed(t, toyModel()), Options{Optimizer: Optimizer{Method: Adam}, Clip: 1, Train: TrainTied}},
		"augment":  {toyModel(), Options{Augment: data.Augment{Flip: true, Crop: 2}}},
		"local":    {embedAs(t, toyModel(), convert.Local), Options{Train: TrainLocal, Schedule: Schedule{Kind: "step", Every: 1}}},
	} {
		t.Run(name, func(t *testing.T) {
			o := c.o
			o.Epochs, o.Batch, o.Rate = 3, 10, 0.05
			var last Epoch
			note := func(e Epoch) error {
				last = e
				return nil
			}
			whole, err := Train(t.Context(), c.m, train, test, o, note)
			if err != nil {
				t.Fatal(err)
			}
			want, end := encoded(t, whole), last
			for stop := range 19 { // 18 steps in all
				o.Checkpoint, o.Resume = t.TempDir(), true
				// Stopped after stop steps, then every seven.
				runs := 0
				for at := stop; ; at = 7 {
					ctx, cancel := context.WithCancel(t.Context())
					if at == 0 {
						cancel()
					}
					steps := 0
					o.Stepped = func(int, int) {
						if steps++; steps == at {
							cancel()
						}
					}
					m, err := Train(ctx, c.m, train, test, o, note)
					cancel()
					if runs++; runs > 5 {
						t.Fatal("it does not get on")
					}
					if errors.Is(err, context.Canceled) {
						continue
					}
					if err != nil {
						t.Fatal(err)
					}
					if !bytes.Equal(want, encoded(t, m)) {
						t.Fatalf("stopped after %d steps it ends with other weights", stop)
					}
					break
				}
				if last.Steps != end.Steps || last.Train != end.Train || *last.Test != *end.Test {
					t.Errorf("stopped after %d steps: last epoch %+v, want %+v", stop, last, end)
				}
			}
		})
	}
}

func TestCheckpointRefuses(t *testing.T) {
	dir := t.TempDir()
	o := Options{Epochs: 1, Batch: 10, Checkpoint: dir}
	set := toySet(30, 1)
	first, err := Train(t.Context(), toyModel(), set, nil, o, nil)
	if err != nil {
		t.Fatal(err)
	}
	refused := func(what string, m *onnxio.Model, o Options, want string) {
		t.Helper()
		if _, err := Train(t.Context(), m, set, nil, o, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", what, err, want)
		}
	}
	refused("a second run", toyModel(), o, "holds a run already; resume it, or take another folder")
	refused("resume without a folder", toyModel(), Options{Resume: true}, "resume: want the folder of the checkpoint")
	o.Resume = true
	refused("another model", embed(t, toyModel()), o, "it is of another model")
	refused("the trained model", first, o, "it is of another model")
	other := o
	other.Optimizer.Momentum = 0.5
	refused("other options", toyModel(), other, "it is of a run with other options")
	other = o
	other.Augment.Flip = true
	refused("another augmentation", toyModel(), other, "it is of a run with other options")
	old := set
	set = toySet(30, 2)
	refused("other data", toyModel(), o, "it is of a run on other data")
	set = old

	// A finished run resumes to its end; a longer one goes on.
	again, err := Train(t.Context(), toyModel(), set, nil, o, nil)
	if err != nil || !bytes.Equal(encoded(t, first), encoded(t, again)) {
		t.Errorf("resuming what is done: %v", err)
	}

	// A checkpoint with any byte changed, or cut short anywhere, is refused.
	path := filepath.Join(dir, checkpointName)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	damaged := 0
	for at := 0; at < len(whole); at += 1 + len(whole)/60 {
		flipped := bytes.Clone(whole)
		flipped[at] ^= 0x10
		for _, b := range [][]byte{flipped, whole[:at]} {
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := Train(t.Context(), toyModel(), set, nil, o, nil); err == nil {
				t.Fatalf("a checkpoint damaged at byte %d is taken", at)
			}
			damaged++
		}
	}
	if damaged < 100 {
		t.Errorf("damaged %d files", damaged)
	}
	if err := os.WriteFile(path, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	o.Epochs = 2
	longer, err := Train(t.Context(), toyModel(), set, nil, o, nil)
	if err != nil {
		t.Fatal(err)
	}
	straight, err := Train(t.Context(), toyModel(), set, nil, Options{Epochs: 2, Batch: 10}, nil)
	if err != nil || !bytes.Equal(encoded(t, longer), encoded(t, straight)) {
		t.Errorf("a run made longer is not a longer run: %v", err)
	}
}

// A loss that is not finite leaves the last good checkpoint.
func TestCheckpointSurvivesDivergence(t *testing.T) {
	dir := t.TempDir()
	o := Options{Epochs: 3, Batch: 10, Checkpoint: dir, Rate: 1e30}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	o.Stepped = func(int, int) { cancel() } // after the first step, whose weights are the last that are finite
	if _, err := Train(ctx, toyModel(), toySet(30, 1), nil, o, nil); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	path := filepath.Join(dir, checkpointName)
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	o.Stepped, o.Resume = nil, true
	if _, err := Train(t.Context(), toyModel(), toySet(30, 1), nil, o, nil); !errors.Is(err, ErrNotFinite) {
		t.Fatal(err)
	}
	after, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(before, after) {
		t.Errorf("the checkpoint changed: %v", err)
	}
}
