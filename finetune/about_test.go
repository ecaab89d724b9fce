package finetune

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"efcn/convert/record"
)

// about.json has what the run began with, also after it was resumed with a model that
// has moved on, and what the last call said.
func TestAbout(t *testing.T) {
	m := toyModel()
	set := toySet(20, 1)
	var want Metrics
	o := Options{
		Epochs: 1, Batch: 10, Rate: 0.05, Seed: 3, Checkpoint: filepath.Join(t.TempDir(), "run"),
		About: map[string]string{"model": "first"}, Before: func(test Metrics) { want = test },
	}
	if _, err := Train(t.Context(), m, set, set, o, nil); err != nil {
		t.Fatal(err)
	}
	first, err := ReadAbout(o.Checkpoint)
	if err != nil {
		t.Fatal(err)
	}
	if first.TestLoss == nil || *first.TestLoss != want.Loss || *first.TestTop1 != want.Top1 {
		t.Errorf("before the first step: %v, %v; want %+v", first.TestLoss, first.TestTop1, want)
	}
	deviation, err := record.Measure(t.Context(), m, nil)
	if err != nil {
		t.Fatal(err)
	}
	if d := first.Deviation; d == nil || d.Distance != deviation.Distance || len(d.Layers) != len(deviation.Layers) {
		t.Errorf("deviation before the first step: %+v; want %+v", d, deviation)
	}
	if first.Seed != 3 || first.Batch != 10 || first.Rate != 0.05 || first.Train != TrainAll || first.Threads < 1 ||
		time.Since(first.Begun) > time.Hour {
		t.Errorf("%+v", first)
	}
	o.Epochs, o.Resume, o.About = 2, true, map[string]string{"model": "second"}
	if _, err := Train(t.Context(), m, set, set, o, nil); err != nil {
		t.Fatal(err)
	}
	second, err := ReadAbout(o.Checkpoint)
	if err != nil {
		t.Fatal(err)
	}
	if second.About["model"] != "second" || second.Epochs != 2 || !second.Begun.Equal(first.Begun) ||
		*second.TestLoss != *first.TestLoss {
		t.Errorf("resumed: %+v", second)
	}

	// A folder that is refused keeps its file, and a run without About has none.
	o.Resume, o.About = false, map[string]string{"model": "third"}
	if _, err := Train(t.Context(), m, set, set, o, nil); err == nil {
		t.Error("a folder that holds a run: no error")
	}
	if third, err := ReadAbout(o.Checkpoint); err != nil || third.About["model"] != "second" {
		t.Errorf("after a refusal: %+v, %v", third, err)
	}
	o.Checkpoint, o.About = filepath.Join(t.TempDir(), "run"), nil
	if _, err := Train(t.Context(), m, set, set, o, nil); err != nil {
		t.Fatal(err)
	}
	if none, err := ReadAbout(o.Checkpoint); none != nil || err != nil {
		t.Errorf("without About: %+v, %v", none, err)
	}
}

// A run that is stopped in its first epoch has the file already.
func TestAboutOfARunThatIsStopped(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	o := Options{
		Epochs: 1, Batch: 10, Checkpoint: filepath.Join(t.TempDir(), "run"), About: map[string]string{"model": "a"},
		Stepped: func(Step) { cancel() },
	}
	if _, err := Train(ctx, toyModel(), toySet(30, 1), nil, o, nil); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	a, err := ReadAbout(o.Checkpoint)
	if err != nil || a == nil || a.About["model"] != "a" || a.TestLoss != nil {
		t.Errorf("%+v, %v", a, err)
	}
	if err := os.WriteFile(filepath.Join(o.Checkpoint, aboutName), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadAbout(o.Checkpoint); err == nil {
		t.Error("a broken file: no error")
	}
}
