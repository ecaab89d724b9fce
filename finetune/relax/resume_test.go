package relax_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"efcn/finetune/relax"
	"efcn/internal/folderlock"
	"efcn/onnxio"
)

// A study that is stopped again and again ends with the files of one that was
// not, and what was finished is not done again.
func TestStudyResumes(t *testing.T) {
	small := func() *relax.Study {
		s := toyStudy(relax.ELCN, relax.Factored(2, "gradient", 0))
		s.Options.Seeds, s.Options.RelaxEpochs = 1, []int{0, 2}
		return s
	}
	whole := t.TempDir()
	steps := 0
	s := small()
	s.Stepped = func(relax.Progress) { steps++ }
	run(t, s, whole)
	want := contents(t, whole)
	if steps != 8*3*2 {
		t.Fatalf("%d steps; want those of 8 runs of 2 epochs of 3", steps)
	}
	for _, every := range []int{2, 7} {
		dir := filepath.Join(t.TempDir(), "study")
		taken, stops := 0, 0
		for {
			ctx, cancel := context.WithCancel(t.Context())
			s := small()
			n := 0
			s.Stepped = func(relax.Progress) {
				taken++
				if n++; n == every {
					cancel()
				}
			}
			_, err := s.Run(ctx, dir)
			cancel()
			if err == nil {
				break
			}
			if stops++; !errors.Is(err, context.Canceled) || stops > steps {
				t.Fatal(err)
			}
		}
		if taken != steps || stops == 0 {
			t.Errorf("stopped every %d steps: %d steps and %d stops", every, taken, stops)
		}
		same(t, "resumed", contents(t, dir), want)
	}
	s = small()
	s.Stepped = func(p relax.Progress) { t.Errorf("%s is done again", p.Run.Path()) }
	run(t, s, whole)
	same(t, "done again", contents(t, whole), want)
}

// More seeds and more kinds of runs are added to what is there.
func TestStudyGrows(t *testing.T) {
	whole, grown := t.TempDir(), t.TempDir()
	run(t, toyStudy(relax.Tied), whole)
	s := toyStudy()
	s.Options.Seeds = 1
	run(t, s, grown)
	s = toyStudy(relax.Tied)
	s.Stepped = func(p relax.Progress) {
		if r := p.Run; r.Seed == 7 && (r.Kind == relax.CNN || r.Kind == relax.FCN || r.Kind == relax.EFCN) {
			t.Errorf("%s is done again", r.Path())
		}
	}
	run(t, s, grown)
	same(t, "grown", contents(t, grown), contents(t, whole))
}

// More relax times and more epochs are added to what is there, which becomes the study
// that it would have been from the start; what need not be done again is not.
func TestStudyGrowsLonger(t *testing.T) {
	study := func(epochs int, times ...int) *relax.Study {
		s := toyStudy()
		s.Options.Seeds, s.Options.RelaxEpochs, s.Options.Train.Epochs = 1, times, epochs
		s.Options.Train.Optimizer.Momentum = 0.5
		return s
	}
	grow := func(t *testing.T, keep bool, from, to *relax.Study, most int) {
		whole, grown := t.TempDir(), t.TempDir()
		run(t, to, whole)
		from.Options.KeepCheckpoints = keep
		run(t, from, grown)
		to.Options.KeepCheckpoints = false // the last time they are removed
		steps := 0
		to.Stepped = func(relax.Progress) { steps++ }
		run(t, to, grown)
		same(t, "grown", contents(t, grown), contents(t, whole))
		if steps != most {
			t.Errorf("%d steps are taken; want %d", steps, most)
		}
	}
	const epoch = 3 // steps
	// The CNN once more, of 3 epochs, and the eFCN of the new time.
	t.Run("relax times", func(t *testing.T) { grow(t, false, study(2, 0, 3), study(2, 0, 1, 3), (3+2)*epoch) })
	// The new one is behind the end of the CNN, which was of 2 epochs.
	t.Run("a later time", func(t *testing.T) { grow(t, false, study(2, 0), study(2, 0, 3), (3+2)*epoch) })
	// CNN, FCN and eFCN from their start, or for the epoch that is added.
	t.Run("epochs", func(t *testing.T) { grow(t, false, study(2, 0), study(3, 0), 3*3*epoch) })
	t.Run("epochs with checkpoints", func(t *testing.T) { grow(t, true, study(2, 0), study(3, 0), 3*epoch) })
	t.Run("both", func(t *testing.T) { grow(t, true, study(2, 0), study(3, 0, 1), (3+1+1+3)*epoch) })

	// A CNN that is past the new time when the study is stopped begins again.
	t.Run("a CNN that is going on", func(t *testing.T) {
		whole, grown := t.TempDir(), t.TempDir()
		run(t, study(2, 0, 1, 3), whole)
		ctx, cancel := context.WithCancel(t.Context())
		s := study(2, 0, 3)
		steps := 0
		s.Stepped = func(relax.Progress) {
			if steps++; steps == 2*epoch+1 {
				cancel()
			}
		}
		if _, err := s.Run(ctx, grown); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		run(t, study(2, 0, 1, 3), grown)
		same(t, "grown", contents(t, grown), contents(t, whole))
	})

	// A rate that depends on the number of epochs is another one.
	dir := t.TempDir()
	s := study(2, 0)
	s.Options.Train.Schedule.Kind = "cosine"
	run(t, s, dir)
	s = study(3, 0)
	s.Options.Train.Schedule.Kind = "cosine"
	if _, err := s.Run(t.Context(), dir); err == nil || !strings.Contains(err.Error(), "epochs 2, this one has 3") {
		t.Errorf("%v", err)
	}

	// A CNN that comes out otherwise is not that which the other runs began with.
	dir = t.TempDir()
	run(t, study(2, 0, 2), dir)
	m, err := onnxio.Read(filepath.Join(dir, "seed-7", "cnn", "epoch-2.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	w := m.Graph.Initializers[0]
	values, err := onnxio.Floats[float32](w)
	if err != nil {
		t.Fatal(err)
	}
	values[0]++
	m.Graph.Initializers[0] = onnxio.NewTensor(w.Name, w.Dims, values)
	if _, err := onnxio.Write(filepath.Join(dir, "seed-7", "cnn", "epoch-2.onnx"), m, onnxio.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := study(2, 0, 1, 2).Run(t.Context(), dir); err == nil || !strings.Contains(err.Error(), "comes out with other weights") {
		t.Errorf("%v", err)
	}
}

// A folder that another process is at work in is refused before anything in it
// changes.
func TestStudyIsLocked(t *testing.T) {
	dir, s := t.TempDir(), toyStudy()
	release, err := folderlock.Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Run(t.Context(), dir)
	var held *folderlock.InUseError
	if !errors.As(err, &held) || held.Dir != dir {
		t.Errorf("a folder in use: %v", err)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 1 {
		t.Errorf("it left %v (%v)", files, err)
	}
	// What a process leaves behind that is killed is no file of another kind.
	if err := release(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, folderlock.Name), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	run(t, s, dir)
	if _, err := os.Stat(filepath.Join(dir, folderlock.Name)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s is left: %v", folderlock.Name, err)
	}
}

// What a process leaves that is killed while it writes is removed, and keeps no study
// from its folder.
func TestStudyRemovesLeftovers(t *testing.T) {
	dir, whole := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "settings.json.0123abcd.tmp"), []byte("{"), 0o666); err != nil {
		t.Fatal(err)
	}
	run(t, toyStudy(), dir)
	run(t, toyStudy(), whole)
	same(t, "after a half-written file", contents(t, dir), contents(t, whole))
	if err := os.Remove(filepath.Join(dir, "seed-7", "fcn", "run.json")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{
		"results.csv.0123abcd.tmp", "seed-7/fcn/.start.onnx.12-1.tmp", "seed-7/fcn/run.json.0123abcd.tmp",
		"seed-7/efcn-0/run.checkpoint",
	} {
		if err := os.WriteFile(filepath.Join(dir, filepath.FromSlash(name)), nil, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	run(t, toyStudy(), dir)
	same(t, "with files left behind", contents(t, dir), contents(t, whole))
}
