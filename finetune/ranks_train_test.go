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

	"efcn/convert"
	"efcn/convert/record"
	"efcn/internal/cuda"
	"efcn/internal/mpi"
	"efcn/onnxio"
)

// job is a training on several ranks.
type job struct {
	epochs []Epoch // as rank 0 saw them
	model  []byte  // that rank 0 wrote
	errs   []error // of each rank
}

// trainJob has as many ranks train m. stop, unless nil, reports whether a rank is told to
// stop after a step.
func trainJob(t *testing.T, ranks int, m *onnxio.Model, o Options, stop func(rank int, s Step) bool) *job {
	t.Helper()
	j := &job{errs: make([]error, ranks)}
	onRanks(ranks, func(w *mpi.World) {
		o := o
		if o.Device != nil && w.Rank() > 0 {
			d, err := anotherDevice(t)
			if j.errs[w.Rank()] = err; err != nil {
				return
			}
			defer d.Close()
			o.Device = d
		}
		j.errs[w.Rank()] = j.train(t, w, m, o, stop)
	})
	return j
}

// train is what a rank does.
func (j *job) train(t *testing.T, w *mpi.World, m *onnxio.Model, o Options, stop func(rank int, s Step) bool) error {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	o.World, o.CutFrom = w, 1
	o.Stepped = func(s Step) {
		if stop != nil && stop(w.Rank(), s) {
			cancel()
		}
	}
	o.Before = func(Metrics) {}
	trained, err := Train(ctx, m, toySet(70, 3), toySet(40, 4), o, func(e Epoch) error {
		if w.Rank() == 0 {
			j.epochs = append(j.epochs, e)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return AtRoot(ctx, w, trained, func() error {
		var b bytes.Buffer
		_, err := onnxio.WriteTo(&b, trained)
		j.model = b.Bytes()
		return err
	})
}

func (j *job) succeed(t *testing.T) *job {
	t.Helper()
	for rank, err := range j.errs {
		if err != nil {
			t.Fatalf("rank %d: %v", rank, err)
		}
	}
	return j
}

// checkMetrics compares what two runs wrote to metrics.jsonl: numbers that rounding alone
// may part.
func checkMetrics(t *testing.T, what, dir, wantDir string) {
	t.Helper()
	got, want := readMetrics(t, dir), readMetrics(t, wantDir)
	if len(got) != len(want) {
		t.Fatalf("%s: %d lines of metrics, want %d", what, len(got), len(want))
	}
	near := func(field string, a, b float64) {
		if !(math.Abs(a-b) <= roundingOf[float32]()*max(1e-3, math.Abs(b))) {
			t.Errorf("%s: %s is %v, want %v", what, field, a, b)
		}
	}
	for i, w := range want {
		g := got[i]
		near("train loss", g.TrainLoss, w.TrainLoss)
		near("test loss", *g.TestLoss, *w.TestLoss)
		near("test top-5", *g.TestTop5, *w.TestTop5)
		if w.Deviation != nil {
			near("deviation", g.Deviation.Distance, w.Deviation.Distance)
		}
		for field, of := range map[string][2]map[string]float64{
			"gradient norm": {g.GradientNorms, w.GradientNorms}, "gradient inside": {g.GradientInside, w.GradientInside},
			"gradient outside": {g.GradientOutside, w.GradientOutside}, "travelled": {g.Travelled, w.Travelled},
			"matrix travelled": {g.MatrixTravelled, w.MatrixTravelled},
		} {
			if len(of[0]) != len(of[1]) {
				t.Errorf("%s: %s of %v, want %v", what, field, of[0], of[1])
			}
			for name, v := range of[1] {
				near(field+" of "+name, of[0][name], v)
			}
		}
	}
}

// division is how ranks train a model together.
type division struct{ ranks, groups int }

// divided is a model that ranks train on, and go on with off.
type divided struct {
	name    string
	m       *onnxio.Model
	on, off division
	plain   bool // SGD, so that layers update their weights themselves
}

// TestTrainOverRanks: the losses, the metrics, the checkpoint and the model of a run on
// several ranks, in groups or not, are those of one process but for rounding; the same again
// bit for bit; and a run that one of its ranks was told to stop goes on to the same bits, or
// near them on another number of ranks or groups.
func TestTrainOverRanks(t *testing.T) {
	embedded := func(layout record.Layout) *onnxio.Model {
		made := convert.Options{Layout: layout}
		if layout == record.Factored {
			made.Rank = 4
		}
		return embedWith(t, branchedModel(), made)
	}
	runs := 0
	for _, c := range []divided{
		{"dense", embedded(record.Dense), division{3, 0}, division{2, 0}, false},
		{"local", embedded(record.Local), division{3, 0}, division{2, 0}, false},
		{"sparse", embedded(record.Sparse), division{3, 0}, division{2, 0}, false},
		{"factored", embedded(record.Factored), division{3, 0}, division{2, 0}, false},
		{"CNN in groups", branchedModel(), division{4, 4}, division{2, 2}, false},
		{"dense in groups", embedded(record.Dense), division{4, 2}, division{3, 0}, true},
		{"factored in groups", embedded(record.Factored), division{2, 2}, division{4, 2}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.train(t, nil)
			runs++
		})
	}
	if runs != 7 {
		t.Errorf("%d runs", runs)
	}
}

// train trains on processors, or unless d is nil on devices, one for each rank; one process
// trains on the processor.
func (c divided) train(t *testing.T, d *cuda.Device) {
	t.Helper()
	m := c.m
	o := Options{
		Epochs: 2, Batch: 30, Rate: 0.05, Optimizer: Optimizer{Momentum: 0.5}, Clip: 1,
		Schedule: Schedule{Kind: "cosine"}, Snapshots: Snapshots{Every: 4}, SaveEvery: Interval{Steps: 2},
		Device: d,
	}
	if c.plain {
		o.Optimizer, o.Clip = Optimizer{}, 0
	}
	if c.name == "local" || c.name == "sparse" {
		o.Train = TrainLocal
	}
	last := c.on.ranks - 1
	train := func(d division, o Options, stop func(rank int, s Step) bool) *job {
		o.Groups = d.groups
		return trainJob(t, d.ranks, m, o, stop)
	}
	dir := t.TempDir()
	in := func(name string) Options {
		o := o
		o.Checkpoint = filepath.Join(dir, name)
		return o
	}
	alone := in("alone")
	alone.Device, alone.Before = nil, func(Metrics) {}
	whole, err := Train(t.Context(), m, toySet(70, 3), toySet(40, 4), alone, nil)
	if err != nil {
		t.Fatal(err)
	}
	first := train(c.on, in("first"), nil).succeed(t)
	checkMetrics(t, "several ranks", filepath.Join(dir, "first"), alone.Checkpoint)
	nearModels(t, "several ranks", parsed(t, first.model), whole)
	if again := train(c.on, in("again"), nil).succeed(t); !bytes.Equal(again.model, first.model) {
		t.Error("the model has other bits when it is trained again")
	}

	chosen := in("chosen")
	chosen.Holdout = Holdout{Best: true, Patience: 1}
	chosen.Rate, chosen.Epochs = 2, 4 // with which it gets worse
	if a, b := train(c.on, chosen, nil).succeed(t), bestOf(t, chosen.Checkpoint); !bytes.Equal(a.model, b) {
		t.Error("the model is not that of the best epoch")
	}

	stopped := train(c.on, in("stopped"), func(rank int, s Step) bool { return rank == last && s.Epoch == 2 })
	for rank, err := range stopped.errs {
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("rank %d: %v, when rank %d was told to stop", rank, err, last)
		}
	}
	if err := os.CopyFS(filepath.Join(dir, "other"), os.DirFS(filepath.Join(dir, "stopped"))); err != nil {
		t.Fatal(err)
	}
	resume := in("stopped")
	resume.Resume = true
	if on := train(c.on, resume, nil).succeed(t); !bytes.Equal(on.model, first.model) {
		t.Error("a run that was stopped comes to other bits")
	}
	resume.Checkpoint = filepath.Join(dir, "other")
	on := train(c.off, resume, nil).succeed(t)
	nearModels(t, "on other ranks", parsed(t, on.model), whole)
	checkMetrics(t, "on other ranks", resume.Checkpoint, alone.Checkpoint)
}

// bestOf is the best model that a run has kept, as it is written to a stream.
func bestOf(t *testing.T, dir string) []byte {
	t.Helper()
	m, err := onnxio.Read(filepath.Join(dir, bestName))
	if err != nil {
		t.Fatal(err)
	}
	return encoded(t, m)
}

func parsed(t *testing.T, file []byte) *onnxio.Model {
	t.Helper()
	m, err := onnxio.ReadFrom(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// nearModels compares weights that rounding alone may part.
func nearModels(t *testing.T, what string, got, want *onnxio.Model) {
	t.Helper()
	for _, init := range want.Graph.Initializers {
		if !init.Type.IsFloat() {
			continue
		}
		w, g := floatsOf(t, want, init.Name), floatsOf(t, got, init.Name)
		largest := 0.0
		for _, v := range w {
			largest = max(largest, math.Abs(float64(v)))
		}
		for i := range w {
			if d := math.Abs(float64(g[i]) - float64(w[i])); !(d <= roundingOf[float32]()*largest) {
				t.Errorf("%s: %s[%d] is %v, want %v", what, init.Name, i, g[i], w[i])
				break
			}
		}
	}
}

// TestBestOverRanks: several ranks without a folder do not keep the best model, and say so
// at once; a single one does, as one process does.
func TestBestOverRanks(t *testing.T) {
	m := embedWith(t, branchedModel(), convert.Options{Layout: record.Dense})
	o := Options{
		Epochs: 3, Batch: 30, Rate: 1, Clip: 1, Optimizer: Optimizer{Momentum: 0.5}, // the third gets worse
		Holdout: Holdout{Best: true},
	}
	for rank, err := range trainJob(t, 2, m, o, nil).errs {
		if e, ok := errors.AsType[*NoFolderError](err); !ok || e.Ranks != 2 {
			t.Errorf("rank %d: %v", rank, err)
		}
	}
	alone := trainJob(t, 1, m, o, nil).succeed(t)
	if last := alone.epochs[len(alone.epochs)-1]; last.BestEpoch == last.Epoch {
		t.Fatal("the last epoch is the best")
	}
	want, err := Train(t.Context(), m, toySet(70, 3), toySet(40, 4), o, nil)
	if err != nil {
		t.Fatal(err)
	}
	nearModels(t, "one rank", parsed(t, alone.model), want)
}

// TestWholeLayersNoticed: a large layer that every rank trains whole is told of with why,
// and once more if no layer is cut.
func TestWholeLayersNoticed(t *testing.T) {
	const none = "no layer can be cut: every rank computes all of the model"
	m := embedWith(t, branchedModel(), convert.Options{Layout: record.Dense})
	for _, c := range []struct {
		name    string
		m       *onnxio.Model
		ranks   int
		cutFrom int64
		want    string // of the lines
		nothing bool
	}{
		{"convolutions", branchedModel(), 2, 1, "is read by a Conv; what is cut are the matrices of products", false},
		{"one is large", branchedModel(), 2, 800, `"k2" is read by a Conv`, true},
		{"small layers", m, 2, 1 << 20, "", true},
		{"one rank", m, 1, 1, "", false},
	} {
		onRanks(c.ranks, func(w *mpi.World) {
			var lines []string
			o := Options{World: w, CutFrom: c.cutFrom, Notice: func(text string) { lines = append(lines, text) }}
			if _, err := newTraineeOver[float32](c.m, &team{all: w, group: w}, o); err != nil {
				t.Error(err)
			}
			text := strings.Join(lines, "\n")
			if !strings.Contains(text, c.want) || strings.Contains(text, none) != c.nothing ||
				c.want == "" && len(lines) > 1 || c.ranks == 1 && len(lines) > 0 {
				t.Errorf("%s: rank %d: %q", c.name, w.Rank(), lines)
			}
		})
	}
}
