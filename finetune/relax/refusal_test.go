package relax_test

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"efcn/convert"
	"efcn/convert/record"
	"efcn/finetune/relax"
	"efcn/onnxio"
)

func TestStudyRefuses(t *testing.T) {
	fully := toyCNN(1)
	fully.Graph.Nodes = fully.Graph.Nodes[3:]
	fully.Graph.Nodes[0].Inputs = []string{"x"}
	fully.Graph.Initializers = fully.Graph.Initializers[2:]
	fully.Graph.Initializers[0] = onnxio.NewTensor("w", []int64{4, 36}, make([]float32, 144))
	wide := toyCNN(1)
	wide.Graph.Nodes[0].Attributes = []*onnxio.Attribute{
		onnxio.IntsAttr("pads", 1, 1, 1, 1),
		onnxio.IntsAttr("dilations", 2, 2),
	}
	for _, c := range []struct {
		name   string
		change func(s *relax.Study)
		want   string
	}{
		{"nothing to embed", func(s *relax.Study) { s.CNN = fully }, "nothing to embed"},
		{"budget", func(s *relax.Study) { s.Options.MaxBytes = 4000 }, "more than the 4000 allowed"},
		{"no CNN", func(s *relax.Study) { s.CNN = nil }, "want a CNN"},
		{"both", func(s *relax.Study) { s.Given = map[int]*onnxio.Model{0: toyCNN(1)} }, "want a CNN"},
		{"order", func(s *relax.Study) { s.Options.RelaxEpochs = []int{1, 1} }, "1 after 1; want them ascending"},
		{"negative", func(s *relax.Study) { s.Options.RelaxEpochs = []int{-1} }, "-1 is negative"},
		{"none", func(s *relax.Study) { s.Options.RelaxEpochs = []int{} }, "relax epochs: none"},
		{
			"short", func(s *relax.Study) { s.Options.CNNEpochs = 2 },
			"trained for 2 epochs; want those of the last relax time",
		},
		{"kind", func(s *relax.Study) { s.Options.With = []relax.Kind{"fcn"} }, `with "fcn": want some of`},
		{"rank of a kind", func(s *relax.Study) { s.Options.With = []relax.Kind{"factored-0"} }, "with a rank R from 1"},
		{"layout", func(s *relax.Study) { s.Options.Layout = record.Local }, `layout "local": want "dense" or "factored"`},
		{"rank", func(s *relax.Study) { s.Options.Rank = 3 }, `rank 3: only the layout "factored" has one`},
		{"init", func(s *relax.Study) { s.Options.Train.Init = "gradient" }, `init "gradient", refresh 0: only the layout`},
		{"init of a kind", func(s *relax.Study) { s.Options.With = []relax.Kind{"factored-2:x"} }, "behind a colon"},
		{"refresh", func(s *relax.Study) { s.Options.Train.Refresh = 1 }, "only the layout \"factored\" has a V"},
		{"relaxed twice", func(s *relax.Study) {
			s.Options.Layout, s.Options.With = record.Factored, []relax.Kind{"factored-32"}
		}, `with "factored-32" is given twice`},
		{"budget of a kind", func(s *relax.Study) {
			s.Options.MaxBytes, s.Options.With = 6000, []relax.Kind{"factored-30"}
		}, "factored-30: the eFCN needs"},
		{"twice", func(s *relax.Study) { s.Options.With = []relax.Kind{"tied", "tied"} }, `with "tied" is given twice`},
		{"folder of a run", func(s *relax.Study) { s.Options.Train.Checkpoint = "x" }, "the study's business"},
		{"optimiser", func(s *relax.Study) { s.Options.Train.Optimizer.Lambda = 1 }, "beta-lasso"},
		{
			"data", func(s *relax.Study) { s.Test.Shape, s.Test.X = []int{1, 5, 5}, s.Test.X[:40*25] },
			"the model takes [1 6 6]",
		},
		{
			"given and trained", func(s *relax.Study) { s.CNN, s.Given = nil, map[int]*onnxio.Model{0: toyCNN(1)} },
			"the CNNs are given",
		},
		{"before the first", func(s *relax.Study) {
			s.CNN, s.Given, s.Options.RelaxEpochs, s.Options.Reinit = nil, map[int]*onnxio.Model{-1: toyCNN(1)}, nil, false
		}, "the CNN of epoch -1: want a number from 0"},
		{"architectures", func(s *relax.Study) {
			s.CNN, s.Given, s.Options.RelaxEpochs, s.Options.Reinit = nil, map[int]*onnxio.Model{
				0: toyCNN(1),
				3: wide,
			}, nil, false
		}, "the CNN of epoch 3"},
		{"an eFCN", func(s *relax.Study) {
			plan, err := convert.NewPlan(toyCNN(1), convert.Options{})
			if err == nil {
				s.CNN, err = plan.Model()
			}
			if err != nil {
				t.Fatal(err)
			}
		}, "it is an eFCN already"},
	} {
		dir := filepath.Join(t.TempDir(), "study")
		s := toyStudy()
		c.change(s)
		if _, err := s.Run(t.Context(), dir); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: the folder is there (%v)", c.name, err)
		}
	}
}

// A run that was made with other settings and copied into the folder of a study is
// refused, by Run and by Read; one that does not say with which is taken, and named.
func TestStudyRefusesRunsOfAnother(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	run(t, toyStudy(), dir)
	s := toyStudy()
	s.Options.Train.Rate = 0.2
	run(t, s, other)
	f, err := relax.Read(dir)
	if err != nil || len(f.Unnoted) != 0 {
		t.Fatalf("%v, %v", err, f)
	}
	refused := func(what, want string) {
		t.Helper()
		_, runErr := toyStudy().Run(t.Context(), dir)
		_, readErr := relax.Read(dir)
		for _, err := range []error{runErr, readErr} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %q", what, err, want)
			}
		}
	}
	first, second := relax.Run{Kind: relax.CNN, Seed: 7, Relax: -1}, relax.Run{Kind: relax.CNN, Seed: 8, Relax: -1}
	file := func(dir string, r relax.Run) string {
		return filepath.Join(dir, filepath.FromSlash(r.Path()), "run.json")
	}
	own, err := os.ReadFile(file(dir, second))
	if err != nil {
		t.Fatal(err)
	}
	replace := func(from string) {
		t.Helper()
		b, err := os.ReadFile(from)
		if err == nil {
			err = os.WriteFile(file(dir, second), b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	replace(file(other, second))
	refused("another learning rate", "it was made for a study with lr 0.2, this study has 0.1; remove what is there")
	refused("another learning rate, with its folder", filepath.Dir(file(dir, second))+": it was made")
	replace(file(dir, first))
	refused("another seed", `it holds the run "`+first.Path()+`" of a study`)

	var result relax.Result
	if err := json.Unmarshal(own, &result); err != nil {
		t.Fatal(err)
	}
	result.Settings = nil
	old, err := json.Marshal(result)
	if err == nil {
		err = os.WriteFile(file(dir, second), old, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	if f, err := relax.Read(dir); err != nil || len(f.Unnoted) != 1 || f.Unnoted[0] != second {
		t.Errorf("%v, %v", err, f.Unnoted)
	}
}

// A folder keeps to the study that it was begun with.
func TestStudyRefusesAnother(t *testing.T) {
	dir := t.TempDir()
	run(t, toyStudy(relax.Tied), dir)
	want := contents(t, dir)
	for _, c := range []struct {
		change func(s *relax.Study)
		want   string
	}{
		{func(s *relax.Study) { s.CNN = toyCNN(3) }, "another CNN"},
		{func(s *relax.Study) { s.Data = toySet(60, 9) }, "other samples (data)"},
		{func(s *relax.Study) { s.Test = toySet(40, 9) }, "other samples (test)"},
		{func(s *relax.Study) { s.Options.Train.Rate = 0.2 }, "lr 0.1, this one has 0.2"},
		{func(s *relax.Study) { s.Options.Train.Epochs = 1 }, "epochs 2, this one has 1"},
		{func(s *relax.Study) { s.Options.Train.Batch = 30 }, "batch 20, this one has 30"},
		{func(s *relax.Study) { s.Options.Train.Seed = 8 }, "seed 7, this one has 8"},
		{func(s *relax.Study) { s.Options.Train.Optimizer.Momentum = 0.9 }, "optimizer {"},
		{func(s *relax.Study) { s.Options.Train.Schedule.Kind = "cosine" }, "lr_schedule {"},
		{func(s *relax.Study) { s.Options.Train.Clip = 1 }, "clip 0, this one has 1"},
		{func(s *relax.Study) { s.Options.RelaxEpochs = []int{0, 3} }, "relax_epochs [0,1,3], this one has [0,3]"},
		{func(s *relax.Study) { s.Options.RelaxEpochs = []int{0, 1} }, "cnn_epochs 3, this one has 2"},
		{func(s *relax.Study) { s.Options.Reinit = false }, "reinit true, this one has false"},
		{func(s *relax.Study) { s.Options.NoFoldBN = true }, "no_fold_bn false, this one has true"},
		{func(s *relax.Study) { s.Options.Seeds = 1 }, "a study of 2 seeds, this one has 1"},
		{func(s *relax.Study) { s.Options.With = nil }, "a study with tied, this one is without"},
		{func(s *relax.Study) { s.Options.Layout = record.Factored }, "a study of efcn, this one of factored-32"},
	} {
		s := toyStudy(relax.Tied)
		c.change(s)
		if _, err := s.Run(t.Context(), dir); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %q", err, c.want)
		}
	}
	same(t, "refused", contents(t, dir), want)

	other := t.TempDir()
	if err := os.WriteFile(filepath.Join(other, "thesis.tex"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := toyStudy().Run(t.Context(), other); err == nil || !strings.Contains(err.Error(), "is no study's folder") {
		t.Error(err)
	}
}
