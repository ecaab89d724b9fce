package relax_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"efcn/finetune/relax"
)

// TestMerge: a study in folders of several machines, with some of the seeds or kinds
// each, becomes the folder that one machine makes.
func TestMerge(t *testing.T) {
	root := t.TempDir()
	dir := func(name string) string { return filepath.Join(root, name) }
	whole := toyStudy(relax.ELCN)
	whole.Options.RelaxEpochs = []int{0, 2}
	run(t, whole, dir("whole"))
	part := func(name string, seed uint64, with ...relax.Kind) {
		s := toyStudy(with...)
		s.Options.RelaxEpochs, s.Options.Seeds, s.Options.Train.Seed = []int{0, 2}, 1, seed
		run(t, s, dir(name))
	}
	part("a", 7)
	part("b", 8, relax.ELCN)
	part("c", 7, relax.ELCN) // whose other runs a has, too
	var notices []string
	f, err := relax.Merge(t.Context(), []string{dir("a"), dir("b"), dir("c")}, dir("out"), func(text string) {
		notices = append(notices, text)
	})
	if err != nil || len(notices) > 0 || len(f.Missing) > 0 {
		t.Fatalf("%v, %q, %v", err, notices, f)
	}
	same(t, "merged", contents(t, dir("out")), contents(t, dir("whole")))
	if files, err := os.ReadDir(root); err != nil || len(files) != 5 {
		t.Errorf("%v, %v: want no folder but those", files, err)
	}
	// It is a study that goes on.
	s := toyStudy(relax.ELCN)
	s.Options.RelaxEpochs = []int{0, 2}
	s.Stepped = func(p relax.Progress) { t.Errorf("%s is done again", p.Run.Path()) }
	run(t, s, dir("out"))

	// A run that no folder has finished is left out, and said to be.
	if err := os.Remove(filepath.Join(dir("b"), "seed-8", "elcn-2", "run.json")); err != nil {
		t.Fatal(err)
	}
	f, err = relax.Merge(t.Context(), []string{dir("a"), dir("b")}, dir("less"), func(text string) { notices = append(notices, text) })
	if err != nil || len(f.Missing) != 3 || len(notices) != 1 || !strings.HasSuffix(notices[0], "seed-8/elcn-2 is not finished, and left out") {
		t.Errorf("%v, %q, %+v", err, notices, f)
	}
	if _, err := os.Stat(filepath.Join(dir("less"), "seed-8", "elcn-2")); err == nil {
		t.Error("what is not finished is copied")
	}
}

// TestMergeRefuses: settings that differ are named with both values, a run that two have
// with other results too, and nothing is left.
func TestMergeRefuses(t *testing.T) {
	root := t.TempDir()
	dir := func(name string) string { return filepath.Join(root, name) }
	study := func(name string, edit func(s *relax.Study)) {
		s := toyStudy()
		s.Options.RelaxEpochs, s.Options.Seeds = []int{0}, 1
		s.Options.Train.Epochs = 1
		edit(s)
		run(t, s, dir(name))
	}
	study("a", func(*relax.Study) {})
	study("rate", func(s *relax.Study) { s.Options.Train.Seed, s.Options.Train.Rate = 8, 0.2 })
	study("momentum", func(s *relax.Study) {
		s.Options.Train.Seed, s.Options.Train.Optimizer.Momentum, s.Options.Train.Batch = 8, 0.5, 10
	})
	study("cnn", func(s *relax.Study) { s.CNN = toyCNN(2) })
	study("factored", func(s *relax.Study) { s.Options.Layout, s.Options.Rank = "factored", 2 })
	study("again", func(*relax.Study) {})
	path := filepath.Join(dir("again"), "seed-7", "efcn-0", "run.json")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(text), `"best_epoch": 1`, `"best_epoch": 2`, 1)
	if err := os.WriteFile(path, []byte(changed), 0o600); err != nil || changed == string(text) {
		t.Fatal(err, string(text))
	}
	full := dir("full")
	if err := os.MkdirAll(filepath.Join(full, "x"), 0o777); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		dirs []string
		out  string
		want []string
	}{
		{[]string{"a", "rate"}, "out", []string{"rate: it is a study with lr 0.2, ", "a has 0.1"}},
		{[]string{"a", "momentum", "rate"}, "out", []string{"momentum: it is a study with batch 10", "optimizer {", "rate: it is a study with lr 0.2"}},
		{[]string{"a", "cnn"}, "out", []string{"cnn: it is a study of another CNN"}},
		{[]string{"a", "factored"}, "out", []string{"factored: it is a study of factored-2, ", "a of efcn"}},
		{[]string{"a", "again"}, "out", []string{"seed-7/efcn-0: ", "a and ", "again have it with other results; remove one of them"}},
		{[]string{"a", "missing"}, "out", []string{"missing"}},
		{[]string{"a"}, "full", []string{"full: holds files"}},
	} {
		var dirs []string
		for _, d := range c.dirs {
			dirs = append(dirs, dir(d))
		}
		_, err := relax.Merge(t.Context(), dirs, dir(c.out), nil)
		for _, want := range c.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%v: %v, want %q", c.dirs, err, want)
			}
		}
	}
	if files, err := filepath.Glob(dir(".*")); err != nil || len(files) > 0 {
		t.Errorf("%v is left", files)
	}
	if _, err := os.Stat(dir("out")); err == nil {
		t.Error("out is there")
	}
}
