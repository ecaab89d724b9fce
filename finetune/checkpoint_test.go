package finetune

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"efcn/convert/record"
	"efcn/finetune/data"
	"efcn/internal/atomicfile"
	"efcn/internal/folderlock"
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
		"sgd": {toyModel(), Options{}},
		"nesterov": {
			toyModel(),
			Options{Optimizer: Optimizer{Momentum: 0.9, Nesterov: true}, Schedule: Schedule{Kind: "cosine", Warmup: 0.5}},
		},
		"adam":    {embed(t, toyModel()), Options{Optimizer: Optimizer{Method: Adam}, Clip: 1, Train: TrainTied}},
		"augment": {toyModel(), Options{Augment: data.Augment{Flip: true, Crop: 2}}},
		"local": {
			embedAs(t, toyModel(), record.Local),
			Options{Train: TrainLocal, Schedule: Schedule{Kind: "step", Every: 1}},
		},
		"sparse": {
			embedAs(t, groupedModel(), record.Sparse),
			Options{Train: TrainLocal, Optimizer: Optimizer{Momentum: 0.9}},
		},
		"factored": {
			embedAs(t, groupedModel(), record.Factored),
			Options{Init: InitGradient, InitBatches: 2},
		},
		"factored, momentum": {
			embedAs(t, toyModel(), record.Factored),
			Options{Init: InitOrthonormal, Optimizer: Optimizer{Momentum: 0.9, WeightDecay: 0.01}},
		},
		"refresh": {
			embedAs(t, toyModel(), record.Factored),
			Options{Refresh: 1, InitBatches: 1, Optimizer: Optimizer{Method: Adam}},
		},
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
					o.Stepped = func(Step) {
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
	more := Options{Epochs: 2, Batch: 10, Checkpoint: t.TempDir()}
	if _, err := Train(t.Context(), toyModel(), set, nil, more, nil); err != nil {
		t.Fatal(err)
	}
	more.Epochs, more.Resume = 1, true
	refused("fewer epochs than it has had", toyModel(), more, "is past epoch 1; want as many epochs as it has had")

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
			_, err := Train(t.Context(), toyModel(), set, nil, o, nil)
			if err == nil {
				t.Fatalf("a checkpoint damaged at byte %d is taken", at)
			}
			damaged++
			if at < len(checkpointMagic)+8 {
				continue
			}
			// What is broken is named, with its bytes.
			var from, to int
			text := err.Error()
			_, scanned := fmt.Sscanf(text[max(0, strings.Index(text, ", bytes ")):], ", bytes %d to %d,", &from, &to)
			if len(b) < len(whole) {
				_, scanned = fmt.Sscanf(text[max(0, strings.Index(text, "ends at byte")):], "ends at byte %d", &from)
				to = from
			} else {
				to += sha256.Size
			}
			if scanned != nil || at < from || at > to || !strings.HasPrefix(text, path+": the checkpoint is broken: ") {
				t.Fatalf("damaged at byte %d of %d: %v", at, len(b), err)
			}
		}
	}
	if err := os.WriteFile(path, append(bytes.Clone(whole), 0), 0o600); err != nil {
		t.Fatal(err)
	}
	refused("something behind it", toyModel(), o, "it goes on past byte")
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

// Within epochs a run is saved as often as it is to be: what a kill loses is at
// most that, and what goes on from there ends with the same bits.
// While a run has its folder nobody else may write there, and nothing that is in
// it changes.
func TestFolderIsLocked(t *testing.T) {
	dir, train := t.TempDir(), toySet(30, 1)
	o := Options{Epochs: 2, Batch: 10, Rate: 0.05, Checkpoint: dir}
	held := 0
	_, err := Train(t.Context(), toyModel(), train, nil, o, func(Epoch) error {
		before := contents(t, dir)
		again := o
		again.Resume = true
		_, err := Train(t.Context(), toyModel(), train, nil, again, nil)
		var inUse *folderlock.InUseError
		if !errors.As(err, &inUse) || !strings.Contains(err.Error(), "checkpoint: "+dir+" is in use by another process") {
			t.Errorf("a second run: %v", err)
		}
		if after := contents(t, dir); !maps.Equal(before, after) {
			t.Errorf("the second run left %v, there was %v", after, before)
		}
		held++
		return nil
	})
	if err != nil || held != 2 {
		t.Fatalf("%d epochs, %v", held, err)
	}
	// Whatever ends a run ends its lock.
	failed := errors.New("no more")
	o.Resume, o.Epochs = true, 3
	_, err = Train(t.Context(), toyModel(), train, nil, o, func(Epoch) error { return failed })
	if !errors.Is(err, failed) {
		t.Fatal(err)
	}
	if _, err := Train(t.Context(), toyModel(), train, nil, o, nil); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(dir, folderlock.Name)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s is left: %v", folderlock.Name, err)
	}
}

// contents are those of the files in a folder.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, f := range files {
		b, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		all[f.Name()] = string(b)
	}
	return all
}

func TestSaveEvery(t *testing.T) {
	set := toySet(100, 1)
	o := Options{Epochs: 2, Batch: 10, Rate: 0.05, Optimizer: Optimizer{Momentum: 0.9}}
	whole, err := Train(t.Context(), toyModel(), set, nil, o, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := encoded(t, whole)
	o.Checkpoint, o.SaveEvery = t.TempDir(), Interval{Steps: 3}
	path := filepath.Join(o.Checkpoint, checkpointName)
	resumed, step := 0, 0
	last := time.Time{}
	o.Stepped = func(Step) {
		step++
		info, err := os.Stat(path)
		if err != nil || info.ModTime().Equal(last) {
			return
		}
		last = info.ModTime()
		// What a kill would leave here.
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		other := o
		other.Checkpoint, other.Resume, other.Stepped = t.TempDir(), true, nil
		left := filepath.Join(other.Checkpoint, checkpointName)
		for name, b := range map[string][]byte{
			left: content, left + ".0123abcd.tmp": content[:99],
			filepath.Join(other.Checkpoint, "notes.tmp"): nil,
		} {
			if err := os.WriteFile(name, b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		m, err := Train(t.Context(), toyModel(), set, nil, other, nil)
		if err != nil || !bytes.Equal(want, encoded(t, m)) {
			t.Errorf("from the checkpoint of step %d it ends with other weights (%v)", step, err)
		}
		if files, err := os.ReadDir(other.Checkpoint); err != nil || len(files) != 4 {
			t.Errorf("%v, %v: want the checkpoint, metrics, events and what is not the run's", files, err)
		}
		resumed++
	}
	if m, err := Train(t.Context(), toyModel(), set, nil, o, nil); err != nil || !bytes.Equal(want, encoded(t, m)) {
		t.Errorf("saving changes what comes out (%v)", err)
	}
	if resumed < 6 {
		t.Errorf("resumed %d times of 20 steps, saved every 3", resumed)
	}
	for text, want := range map[string]Interval{"12": {Steps: 12}, "90s": {Time: 90 * time.Second}} {
		if got, err := ParseInterval(text); err != nil || got != want {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "0", "-1", "0s", "1.5", "x"} {
		if _, err := ParseInterval(text); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

// failing lets so many bytes through.
type failing struct {
	w    io.Writer
	left int
}

func (f *failing) Write(p []byte) (int, error) {
	if len(p) <= f.left {
		f.left -= len(p)
		return f.w.Write(p)
	}
	n, err := f.w.Write(p[:f.left])
	f.left = 0
	return n, errors.Join(err, syscall.ENOSPC)
}

// A disk that is full, wherever in the file, leaves the old checkpoint alone.
func TestCheckpointDiskFull(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, checkpointName)
	values := make([]float32, 1<<19) // more than a buffer
	arrays := []array[float32]{{checkpointArray: checkpointArray{Name: "w", Size: len(values)}, values: values}}
	if err := saveCheckpoint(dir, identity{}, progress{Epoch: 1}, arrays); err != nil {
		t.Fatal(err)
	}
	old, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, room := range []int{0, 1, 100, 1 << 20, len(old) - 1} {
		err := atomicfile.Write(path, func(w io.Writer) error {
			return writeCheckpoint(&failing{w, room}, identity{}, progress{Epoch: 2}, arrays)
		})
		if !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("with room for %d bytes: %v", room, err)
		}
		files, err := os.ReadDir(dir)
		if now, errRead := os.ReadFile(path); err != nil || errRead != nil || len(files) != 1 || !bytes.Equal(old, now) {
			t.Errorf("with room for %d bytes: %v in the folder, the old checkpoint changed (%v, %v)", room, files, err, errRead)
		}
	}
}

// Weights that are not finite are not saved.
func TestCheckpointSurvivesSpoiltWeights(t *testing.T) {
	o := Options{
		Epochs: 2, Batch: 10, Checkpoint: t.TempDir(), SaveEvery: Interval{Steps: 1}, Rate: 1e-30,
		Schedule: Schedule{Kind: "step", Every: 1, Factor: 1e69},
	}
	_, err := Train(t.Context(), toyModel(), toySet(10, 1), nil, o, nil)
	if !errors.Is(err, ErrNotFinite) || !strings.Contains(err.Error(), "after step 2 (epoch 2)") {
		t.Fatal(err)
	}
	o.Resume, o.Epochs = true, 1
	if _, err := Train(t.Context(), toyModel(), toySet(10, 1), nil, o, nil); err != nil {
		t.Errorf("the checkpoint of the first epoch is gone: %v", err)
	}
}

// A loss that is not finite leaves the last good checkpoint.
func TestCheckpointSurvivesDivergence(t *testing.T) {
	dir := t.TempDir()
	o := Options{Epochs: 3, Batch: 10, Checkpoint: dir, Rate: 1e30}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	o.Stepped = func(Step) { cancel() } // after the first step, whose weights are the last that are finite
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
