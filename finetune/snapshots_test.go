package finetune

import (
	"bytes"
	"path/filepath"
	"slices"
	"testing"

	"efcn/onnxio"
)

func TestParseSnapshots(t *testing.T) {
	for text, want := range map[string]Snapshots{"log:20": {Log: 20}, "every:7": {Every: 7}} {
		if got, err := ParseSnapshots(text); err != nil || got != want {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "log", "log:", "log:0", "every:-1", "all:3", "log:x"} {
		if _, err := ParseSnapshots(text); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

func TestSnapshotSteps(t *testing.T) {
	for _, c := range []struct {
		s    Snapshots
		want []int // of 1000 steps
	}{
		{Snapshots{}, nil},
		{Snapshots{Every: 300}, []int{300, 600, 900}},
		{Snapshots{Log: 1}, []int{1000}},
		{Snapshots{Log: 2}, []int{1, 1000}},
		{Snapshots{Log: 4}, []int{1, 10, 100, 1000}},
		// The paper's: about 20 over the run, and one at the start.
		{Snapshots{Log: 20}, []int{1, 2, 3, 4, 6, 9, 13, 18, 26, 38, 55, 78, 113, 162, 234, 336, 483, 695, 1000}},
		{Snapshots{Log: 7}, []int{1, 3, 10, 32, 100, 316, 1000}},
	} {
		var got []int
		for step := 1; step <= 1000; step++ {
			if c.s.after(step, 1000) {
				got = append(got, step)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%+v: %v, want %v", c.s, got, c.want)
		}
	}
}

// The snapshot of a step is the model of a run that ends there.
func TestSnapshots(t *testing.T) {
	dir := t.TempDir()
	o := Options{Epochs: 3, Batch: 10, Checkpoint: dir, Snapshots: Snapshots{Every: 5}}
	last, err := Train(t.Context(), toyModel(), toySet(50, 1), nil, o, nil)
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "step-*.onnx"))
	if err != nil || len(files) != 4 {
		t.Fatalf("%v, %v", files, err)
	}
	if start, err := onnxio.Read(files[0]); err != nil || !bytes.Equal(encoded(t, start), encoded(t, toyModel())) {
		t.Errorf("%s is not the model that training starts from: %v", files[0], err)
	}
	for i, path := range files[1:] {
		m, err := onnxio.Read(path)
		if err != nil {
			t.Fatal(err)
		}
		want, err := Train(t.Context(), toyModel(), toySet(50, 1), nil, Options{Epochs: i + 1, Batch: 10}, nil)
		if err != nil || !bytes.Equal(encoded(t, m), encoded(t, want)) {
			t.Errorf("%s is not the model after %d epochs: %v", path, i+1, err)
		}
		if i == 2 && !bytes.Equal(encoded(t, m), encoded(t, last)) {
			t.Errorf("%s is not the trained model", path)
		}
	}
	if err := (Options{Snapshots: Snapshots{Log: 3}}).Validate(); err == nil {
		t.Error("snapshots without a folder are taken")
	}
}
