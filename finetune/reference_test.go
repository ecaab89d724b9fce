package finetune

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"testing"

	"efcn/convert"
	"efcn/convert/record"
	"efcn/finetune/data"
	"efcn/internal/constants"
	"efcn/internal/engine"
	"efcn/internal/kernel"
	"efcn/onnxio"
)

const fashionMNIST = "../testdata/fashion-mnist/"

func openSet(t *testing.T, split, query string) *data.Set {
	t.Helper()
	size := map[string]string{"train": "10k", "test": "2k"}[split]
	files := fmt.Sprintf("idx:%s%s-images-%s-idx3-ubyte.gz,%[1]s%[2]s-labels-%[3]s-idx1-ubyte.gz", fashionMNIST, split,
		size)
	set, err := data.Open(t.Context(), files+query)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func readModel(t *testing.T, name string) *onnxio.Model {
	t.Helper()
	m, err := onnxio.Read("../testdata/models/" + name + "/model.onnx")
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// embed converts a CNN to its eFCN.
func embed(t testing.TB, cnn *onnxio.Model) *onnxio.Model {
	t.Helper()
	return embedAs(t, cnn, record.Auto)
}

// embedAs converts a CNN to an eFCN whose layers have one layout.
func embedAs(t testing.TB, cnn *onnxio.Model, layout record.Layout) *onnxio.Model {
	t.Helper()
	return embedWith(t, cnn, convert.Options{Layout: layout})
}

func embedWith(t testing.TB, cnn *onnxio.Model, o convert.Options) *onnxio.Model {
	t.Helper()
	cnn = cnn.Clone()
	cnn.Metadata = nil // toyModel carries a record, to see that training leaves it alone
	folded, err := constants.Fold(cnn, constants.Options{})
	if err != nil {
		t.Fatal(err)
	}
	p, err := convert.NewPlan(folded, o)
	if err != nil {
		t.Fatal(err)
	}
	m, err := p.Model()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// reference is testdata/reference.json: what PyTorch made of the same runs.
type reference struct {
	Torch string
	Steps int
	Batch int
	Runs  map[string]map[string]struct {
		Rate    float64
		Losses  []float64
		Weights map[string]struct {
			Norm   float64
			At     []int
			Values []float64
		}
	}
}

// Twenty steps of every optimiser, and five of nets that move, select and sum
// elements, come to the weights that PyTorch comes to from the same start on the same
// batches.
func TestAgreesWithPyTorch(t *testing.T) {
	text, err := os.ReadFile("testdata/reference.json")
	if err != nil {
		t.Fatal(err)
	}
	var ref reference
	if err := json.Unmarshal(text, &ref); err != nil {
		t.Fatal(err)
	}
	set := openSet(t, "train", "?limit=1000")
	efcn := embed(t, readModel(t, "plain-torchscript"))
	rec, err := record.Read(efcn)
	if err != nil {
		t.Fatal(err)
	}
	renamed := map[string]string{}
	for i, layer := range rec.Layers {
		if layer.Op != "Conv" {
			continue // dense already, and keeps its name
		}
		renamed[layer.Weight] = []string{"conv1.weight", "conv2.weight"}[i]
		renamed[layer.Bias] = []string{"conv1.bias", "conv2.bias"}[i]
	}
	plain := readModel(t, "plain-torchscript")
	sgd := func(rate float64) Options { return Options{Rate: rate} }
	adam := func(m Method, decay float64) Options {
		return Options{Rate: 0.001, Optimizer: Optimizer{Method: m, WeightDecay: decay}}
	}
	net := func(name string) *onnxio.Model {
		m, err := onnxio.Read("testdata/" + name + ".onnx")
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	runs := map[string]struct {
		m *onnxio.Model
		o Options
	}{
		"plain":      {plain, sgd(0.1)},
		"lenet":      {readModel(t, "lenet-torchscript"), sgd(0.01)},
		"efcn":       {efcn, sgd(0.1)},
		"momentum":   {plain, Options{Rate: 0.05, Optimizer: Optimizer{Momentum: 0.9}}},
		"nesterov":   {plain, Options{Rate: 0.05, Optimizer: Optimizer{Momentum: 0.9, Nesterov: true, WeightDecay: 0.01}}},
		"decay":      {plain, Options{Rate: 0.1, Optimizer: Optimizer{WeightDecay: 0.05}}},
		"adam":       {plain, adam(Adam, 0)},
		"adam-decay": {plain, adam(Adam, 0.05)},
		"adamw":      {plain, adam(AdamW, 0.5)},
		"beta-lasso": {plain, Options{Rate: 0.1, Optimizer: Optimizer{Method: BetaLasso, Lambda: 0.0005}}},
		"step":       {plain, Options{Rate: 0.1, Schedule: Schedule{Kind: "step", Every: 1, Factor: 0.5}}},
		"cosine": {plain, Options{
			Rate: 0.1, Optimizer: Optimizer{Momentum: 0.5},
			Schedule: Schedule{Kind: "cosine", Floor: 0.1},
		}},
		"warmup":   {plain, Options{Rate: 0.1, Schedule: Schedule{Kind: "cosine", Warmup: 1}}},
		"clip":     {plain, Options{Rate: 0.1, Clip: 0.5}},
		"adaptive": {net("adaptive"), sgd(0.05)},
		"shuffle":  {net("shuffle"), sgd(0.05)},
		"unet":     {net("unet"), sgd(0.02)},
	}
	compared := 0
	for name, run := range runs {
		name32, name64 := name+"/float32", name+"/float64"
		t.Run(name32, func(t *testing.T) {
			compared += compareRun[float32](t, ref, "float32", name, run.m, run.o, set, renamed, 1e-5)
		})
		t.Run(name64, func(t *testing.T) {
			compared += compareRun[float64](t, ref, "float64", name, run.m, run.o, set, renamed, 1e-12)
		})
	}
	if want := 2 * (8 + 13*6 + 6 + 13 + 13); compared != want {
		t.Errorf("compared %d tensors, want %d", compared, want)
	}
}

func compareRun[T float32 | float64](t *testing.T, ref reference, dtype, name string, m *onnxio.Model, o Options,
	set *data.Set, renamed map[string]string, tolerance float64,
) int {
	tr, err := newTrainee[T](m, TrainAll)
	if err != nil {
		t.Fatal(err)
	}
	want := ref.Runs[dtype][name]
	if o.Rate != want.Rate {
		t.Fatalf("rate %g, the reference has %g", o.Rate, want.Rate)
	}
	o.Batch, o.Epochs = ref.Batch, 4
	if err := o.Validate(); err != nil {
		t.Fatal(err)
	}
	s, err := newSession(tr, &data.Set{X: set.X[:250*784], Shape: set.Shape, Labels: set.Labels[:250]}, o.WithDefaults())
	if err != nil {
		t.Fatal(err)
	}
	n := s.full // the session's 250 samples make epochs of 5 steps; the batches below are given to it
	for step := range want.Losses {
		for i := range n.labels {
			n.labels[i] = set.Labels[step*ref.Batch+i]
		}
		for i := range n.x {
			n.x[i] = T(set.X[step*len(n.x)+i])
		}
		s.at.Steps++
		if err := n.step(s.update()); err != nil {
			t.Fatal(err)
		}
		if d := math.Abs(n.loss - want.Losses[step]); !(d <= tolerance*want.Losses[step]) {
			t.Errorf("step %d: loss %.15g, PyTorch has %.15g", step, n.loss, want.Losses[step])
		}
	}
	compared := 0
	for _, p := range tr.params {
		stored := p.name
		if s, ok := renamed[stored]; ok {
			stored = s
		}
		w, ok := want.Weights[stored]
		if !ok {
			t.Errorf("the reference has no %q", stored)
			continue
		}
		compared++
		norm, greatest := 0.0, 0.0
		for _, v := range p.values {
			norm += float64(v) * float64(v)
			greatest = max(greatest, math.Abs(float64(v)))
		}
		norm = math.Sqrt(norm)
		if d := math.Abs(norm - w.Norm); !(d <= tolerance*w.Norm) {
			t.Errorf("%s: norm %.15g, PyTorch has %.15g", stored, norm, w.Norm)
		}
		worst, at := 0.0, 0
		for i, k := range w.At {
			if d := math.Abs(float64(p.values[k]) - w.Values[i]); !(d <= worst) {
				worst, at = d, k
			}
		}
		if !(worst <= tolerance*greatest) {
			t.Errorf("%s[%d] differs by %g of a greatest entry of %g", stored, at, worst, greatest)
		}
	}
	return compared
}

// The eFCNs of those nets begin training with the loss that the engine computes,
// and a few steps lower it.
func TestEmbeddedNetsTrain(t *testing.T) {
	set := openSet(t, "train", "?limit=50")
	ran := 0
	for _, name := range []string{"adaptive", "shuffle", "unet"} {
		cnn, err := onnxio.Read("testdata/" + name + ".onnx")
		if err != nil {
			t.Fatal(err)
		}
		layouts := []record.Layout{record.Local, record.Sparse}
		if name != "unet" { // which is 1 GB in dense form
			layouts = append(layouts, record.Dense)
		}
		for _, layout := range layouts {
			t.Run(name+"/"+string(layout), func(t *testing.T) {
				efcn := embedAs(t, cnn, layout)
				what := TrainLocal
				if layout == record.Dense {
					what = TrainAll
				}
				tr, err := newTrainee[float64](efcn, what)
				if err != nil {
					t.Fatal(err)
				}
				n, err := tr.network(50, false)
				if err != nil {
					t.Fatal(err)
				}
				for i := range n.x {
					n.x[i] = float64(set.X[i])
				}
				copy(n.labels, set.Labels)
				e, err := engine.New[float64](efcn)
				if err != nil {
					t.Fatal(err)
				}
				out, err := e.Run(t.Context(), map[string]*engine.Tensor[float64]{
					"input": {Type: onnxio.Float32, Shape: []int{50, 1, 28, 28}, F: n.x},
				})
				if err != nil {
					t.Fatal(err)
				}
				want, _ := kernel.CrossEntropy(50, 10, out["logits"].F, n.labels, nil)
				first := 0.0
				for step := range 4 {
					if err := n.step(sgd[float64](0.01)); err != nil {
						t.Fatal(err)
					}
					if step == 0 {
						first = n.loss
					}
				}
				if d := math.Abs(first - want/50); !(d <= 1e-11*first) {
					t.Errorf("loss %.15g, the engine says %.15g", first, want/50)
				}
				if !(n.loss < first) {
					t.Errorf("loss %g after three steps, %g before", n.loss, first)
				}
				ran++
			})
		}
	}
	if ran != 8 {
		t.Errorf("ran %d, want 8", ran)
	}
}
