package finetune

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"efcn/finetune/data"
)

// folderSet writes n grey images of 6×5 pixels in four classes, and returns the folder.
func folderSet(t *testing.T, n int) string {
	t.Helper()
	dir := t.TempDir()
	for i := range n {
		m := image.NewGray(image.Rect(0, 0, 5, 6))
		for k := range m.Pix {
			m.Pix[k] = uint8(31*i + k*k*(i%4+1))
		}
		var b bytes.Buffer
		if err := png.Encode(&b, m); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, string(rune('a'+i%4)), fmt.Sprintf("%02d.png", i))
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func openFolder(t *testing.T, dir, query string) *data.Set {
	t.Helper()
	s, err := data.Open(t.Context(), "folder:"+dir+"?normalize=auto&"+query)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestStreamed: a set that is streamed trains to the bits that it trains to in memory.
func TestStreamed(t *testing.T) {
	dir := folderSet(t, 33)
	for _, query := range []string{"resize=4x4", "crop=centre:4&flip"} {
		kept, streamed := openFolder(t, dir, query), openFolder(t, dir, query+"&memory=100")
		if kept.Streamed() || !streamed.Streamed() || !slices.Equal(kept.Mean, streamed.Mean) {
			t.Fatal("want one in memory and one that is not, of the same figures")
		}
		o := Options{Epochs: 2, Batch: 10, Seed: 3, Augment: data.Augment{Crop: 1}}
		var before [2]Metrics
		var models [2][]byte
		for i, set := range []*data.Set{kept, streamed} {
			o.Before = func(test Metrics) { before[i] = test }
			m, err := Train(t.Context(), toyModel(), set, set, o, nil)
			if err != nil {
				t.Fatal(err)
			}
			models[i] = encoded(t, m)
		}
		if before[0] != before[1] || !bytes.Equal(models[0], models[1]) {
			t.Errorf("%s: streamed it measures %+v and %+v in memory, or trains to other weights", query, before[1], before[0])
		}
	}
}

// TestStreamedResumes stops a run on random crops after each of its steps; resumed, it
// ends with the bits of the run that was not stopped.
func TestStreamedResumes(t *testing.T) {
	set := openFolder(t, folderSet(t, 33), "crop=random:4&flip")
	o := Options{Epochs: 2, Batch: 10, Seed: 5}
	whole, err := Train(t.Context(), toyModel(), set, nil, o, nil)
	if err != nil {
		t.Fatal(err)
	}
	other := o
	other.Seed++
	differs, err := Train(t.Context(), toyModel(), set, nil, other, nil)
	if err != nil || bytes.Equal(encoded(t, whole), encoded(t, differs)) {
		t.Errorf("another seed: %v, or the same weights", err)
	}
	for stop := 1; stop < 8; stop++ {
		o := o
		o.Checkpoint, o.Resume = t.TempDir(), true
		ctx, cancel := context.WithCancel(t.Context())
		steps := 0
		o.Stepped = func(Step) {
			if steps++; steps == stop {
				cancel()
			}
		}
		_, err := Train(ctx, toyModel(), set, nil, o, nil)
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("stopped after %d steps: %v", stop, err)
		}
		m, err := Train(t.Context(), toyModel(), set, nil, o, nil)
		cancel()
		if err != nil || !bytes.Equal(encoded(t, whole), encoded(t, m)) {
			t.Errorf("stopped after %d steps it ends with other weights, or %v", stop, err)
		}
	}
}

func TestStreamedDamage(t *testing.T) {
	dir := folderSet(t, 33)
	bad := filepath.Join(dir, "b", "05.png")
	if err := os.WriteFile(bad, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	set, err := data.Open(t.Context(), "folder:"+dir+"?crop=random:4")
	if err != nil {
		t.Fatal(err)
	}
	var damage *data.ImageError
	_, err = Train(t.Context(), toyModel(), set, nil, Options{Epochs: 1, Batch: 10}, nil)
	if !errors.As(err, &damage) || damage.Image != bad || !strings.HasPrefix(err.Error(), "training data: epoch 1: ") {
		t.Errorf("training: %v", err)
	}
	if _, err = Evaluate(t.Context(), toyModel(), set, 10); !errors.As(err, &damage) || damage.Image != bad {
		t.Errorf("evaluation: %v", err)
	}
	set = openFolder(t, dir, "crop=random:4&skip-bad")
	if set.N() != 32 || len(set.Skipped) != 1 {
		t.Fatalf("%d samples, skipped %v", set.N(), set.Skipped)
	}
	if _, err = Train(t.Context(), toyModel(), set, nil, Options{Epochs: 1, Batch: 10}, nil); err != nil {
		t.Error(err)
	}
}

// TestEvaluateWaits: what is being made for the batch after one that fails has ended when
// the evaluation ends.
func TestEvaluateWaits(t *testing.T) {
	set := openFolder(t, folderSet(t, 12), "resize=4x4&memory=0")
	e, err := newEvaluator(t.Context(), embedded, toyModel(), set, 5, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := e.session.Close(); err != nil {
			t.Error(err)
		}
	}()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := e.each(ctx, func(int, []float32, []int) {}); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if e.feed.upcoming != nil {
		t.Error("a batch is still being made")
	}
}

// TestFetch: a batch that was made ahead is the one that is asked for, whatever it was
// made for.
func TestFetch(t *testing.T) {
	set := openFolder(t, folderSet(t, 12), "resize=4x4&memory=0")
	f, err := newFeeder(set, []int{1, 4, 4})
	if err != nil {
		t.Fatal(err)
	}
	size := set.Size()
	for _, c := range []struct{ indices, following []int }{
		{[]int{0, 1, 2}, []int{5, 4}},
		{[]int{5, 4}, []int{7, 8, 9}},       // as it was foreseen
		{[]int{7, 8, 10}, []int{1}},         // not
		{[]int{1}, nil},                     // as it was foreseen
		{[]int{3, 2}, []int{11, 10, 9, 8}},  // nothing was
		{[]int{11, 10, 9, 8}, []int{0, 11}}, // the buffer has grown
	} {
		got, want := make([]float32, len(c.indices)*size), make([]float32, len(c.indices)*size)
		foreseen := f.upcoming != nil && slices.Equal(f.upcoming.indices, c.indices)
		fills := 0
		fill := func(indices []int, dst []float32) error {
			if slices.Equal(indices, c.indices) {
				fills++
			}
			return set.Batch(indices, dst)
		}
		if err := errors.Join(f.fetch(c.indices, c.following, fill, got), set.Batch(c.indices, want)); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%v: got other samples", c.indices)
		}
		if foreseen != (fills == 0) {
			t.Errorf("%v: made %d times; was made ahead: %v", c.indices, fills, foreseen)
		}
		if (f.upcoming != nil) != (len(c.following) > 0) {
			t.Errorf("%v: what follows is not begun", c.indices)
		}
	}
	if err := f.wait(); err != nil || f.upcoming != nil {
		t.Error(err)
	}
}
