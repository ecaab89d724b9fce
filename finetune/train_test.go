package finetune

import (
	"bytes"
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"efcn/convert/record"
	"efcn/convert/restore"
	"efcn/finetune/data"
	"efcn/internal/kernel"
	"efcn/onnxio"
)

// toySet has classes that a linear classifier on 4×4 images tells apart but for
// noise.
func toySet(n int, seed uint64) *data.Set {
	rng := rand.New(rand.NewPCG(seed, 3))
	s := &data.Set{X: make([]float32, n*16), Shape: []int{1, 4, 4}, Labels: make([]int, n), Classes: 4}
	for i := range n {
		s.Labels[i] = rng.IntN(4)
		for k := range 16 {
			s.X[i*16+k] = float32(0.5 * rng.NormFloat64())
		}
		s.X[i*16+5*s.Labels[i]] += 1.5
	}
	return s
}

func value32(name string, dims ...int64) *onnxio.ValueInfo {
	v := &onnxio.ValueInfo{Name: name, Type: onnxio.TensorType{Elem: onnxio.Float32, HasShape: true}}
	for i, d := range dims {
		if i == 0 && d < 0 {
			v.Type.Shape = append(v.Type.Shape, onnxio.Symbol("N"))
		} else {
			v.Type.Shape = append(v.Type.Shape, onnxio.Fixed(d))
		}
	}
	return v
}

func noise32(rng *rand.Rand, name string, scale float64, dims ...int64) *onnxio.Tensor {
	n := int64(1)
	for _, d := range dims {
		n *= d
	}
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(scale * rng.NormFloat64())
	}
	return onnxio.NewTensor(name, dims, v)
}

// toyModel is a small CNN with batch normalisation that ends in a Softmax, and
// carries what training must leave alone.
func toyModel() *onnxio.Model {
	rng := rand.New(rand.NewPCG(5, 5))
	ones, zeros := []float32{1, 1, 1}, []float32{0, 0, 0}
	m := &onnxio.Model{
		IRVersion: 8, Opsets: []onnxio.Opset{{Version: 17}}, ProducerName: "toy",
		Metadata: []onnxio.Prop{{Key: "efcn", Value: `{"version":1,"layers":[]}`}},
		Graph: &onnxio.Graph{
			Name: "toy", Inputs: []*onnxio.ValueInfo{value32("x", -1, 1, 4, 4)}, Outputs: []*onnxio.ValueInfo{value32("p", -1,
				4)},
			Initializers: []*onnxio.Tensor{
				noise32(rng, "k", 0.5, 3, 1, 3, 3), noise32(rng, "kb", 0.1, 3),
				onnxio.NewTensor("scale", []int64{3}, ones), onnxio.NewTensor("bias", []int64{3}, zeros),
				onnxio.NewTensor("mean", []int64{3}, zeros), onnxio.NewTensor("var", []int64{3}, ones),
				noise32(rng, "w", 0.2, 48, 4), noise32(rng, "wb", 0.1, 4), onnxio.NewTensor("half", nil, []float32{0.5}),
			},
			Nodes: []*onnxio.Node{
				apply("Conv", "x k kb", "c", onnxio.IntsAttr("pads", 1, 1, 1, 1)),
				apply("BatchNormalization", "c scale bias mean var", "n"),
				apply("Relu", "n", "r"),
				apply("Mul", "r half", "h"),
				apply("Flatten", "h", "f"),
				apply("MatMul", "f w", "z"),
				apply("Add", "z wb", "logits"),
				apply("Softmax", "logits", "p"),
			},
		},
	}
	return m
}

func floatsOf(t *testing.T, m *onnxio.Model, name string) []float32 {
	t.Helper()
	init := m.Graph.Initializer(name)
	if s := m.Graph.SparseConstants()[name]; s != nil {
		init = s.Values
	}
	if init == nil {
		t.Fatalf("no initializer %q", name)
	}
	v, err := onnxio.Floats[float32](init)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func encoded(t *testing.T, m *onnxio.Model) []byte {
	t.Helper()
	var b bytes.Buffer
	if _, err := onnxio.WriteTo(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestTrainLearns(t *testing.T) {
	m, train, test := toyModel(), toySet(330, 1), toySet(100, 2)
	before := encoded(t, m)
	first, err := Evaluate(t.Context(), m, test, 0)
	if err != nil {
		t.Fatal(err)
	}
	var epochs []Epoch
	trained, err := Train(t.Context(), m, train, test, Options{Epochs: 12, Batch: 50}, func(e Epoch) error {
		epochs = append(epochs, e)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(before, encoded(t, m)) {
		t.Error("Train modified the model that it was given")
	}
	if len(epochs) != 12 {
		t.Fatalf("%d epochs were reported, want 12", len(epochs))
	}
	last := epochs[11]
	if last.Epoch != 12 || last.Of != 12 || last.Steps != 84 || last.Train.N != 330 || last.Test == nil ||
		last.Test.N != 100 {
		t.Errorf("last epoch: %+v", last)
	}
	if last.Train.Loss > epochs[0].Train.Loss/2 || last.Test.Loss > first.Loss/2 || last.Test.Top1 < 0.8 ||
		last.Test.Top5 != 1 {
		t.Errorf("it does not learn: train loss %g, then %g; test %+v, then %+v", epochs[0].Train.Loss, last.Train.Loss,
			first, *last.Test)
	}
	after, err := Evaluate(t.Context(), trained, test, 7)
	if err != nil {
		t.Fatal(err)
	}
	if math.Abs(after.Loss-last.Test.Loss) > 1e-6 || after.Top1 != last.Test.Top1 {
		t.Errorf("the trained model measures %+v, its last epoch said %+v", after, *last.Test)
	}

	// Everything that is trained moved, nothing else changed.
	for _, init := range m.Graph.Initializers {
		if init.Name == "kb" {
			continue // in front of a BatchNormalization a bias does nothing: rounding moves it, or not
		}
		moved := !slices.Equal(floatsOf(t, m, init.Name), floatsOf(t, trained, init.Name))
		if want := init.Name != "half"; moved != want {
			t.Errorf("%s moved: %v, want %v", init.Name, moved, want)
		}
	}
	restored := trained.Clone()
	restored.Graph.Initializers = m.Graph.Initializers
	if !bytes.Equal(before, encoded(t, restored)) {
		t.Error("training changed more than the content of initializers")
	}
}

func TestTrainRepeats(t *testing.T) {
	train := toySet(130, 1)
	run := func(seed uint64) []byte {
		m, err := Train(t.Context(), toyModel(), train, nil, Options{Epochs: 2, Batch: 40, Seed: seed}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return encoded(t, m)
	}
	first := run(1)
	for range 3 {
		if !bytes.Equal(first, run(1)) {
			t.Fatal("the same seed gave other weights")
		}
	}
	if bytes.Equal(first, run(2)) {
		t.Error("another seed gave the same weights")
	}
}

// What an epoch says of the test data is what its model measures there, whether
// the test reads the arrays under training (float32) or converts them.
func TestTrainMeasuresTheModelOfTheEpoch(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	vectors := func(n int) *data.Set {
		set := &data.Set{
			X: make([]float32, n*sketchInput), Shape: []int{sketchInput}, Labels: make([]int, n),
			Classes: sketchClasses,
		}
		for i := range set.X {
			set.X[i] = float32(rng.NormFloat64())
		}
		for i := range set.Labels {
			set.Labels[i] = rng.IntN(sketchClasses)
		}
		return set
	}
	for _, c := range []struct {
		name        string
		m           *onnxio.Model
		train, test *data.Set
		live        bool
	}{
		{"float32", toyModel(), toySet(50, 1), toySet(70, 2), true},
		{"float64", sketches()["Conv"].model(1), vectors(50), vectors(70), false},
	} {
		name, m, test := c.name, c.m, c.test
		tr, err := newTrainee[float32](m, TrainAll)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tr.network(20, false); err != nil {
			t.Fatal(err)
		}
		if tr.live() != c.live {
			t.Errorf("%s: live %v", name, tr.live())
		}
		measure := func(m *onnxio.Model, err error) Metrics {
			if err != nil {
				t.Fatal(err)
			}
			metrics, err := Evaluate(t.Context(), m, test, min(100, c.train.N()))
			if err != nil {
				t.Fatal(err)
			}
			return metrics
		}
		before, epochs := 0, 0
		_, err = Train(t.Context(), m, c.train, test, Options{Epochs: 3, Batch: 100, Before: func(got Metrics) {
			before++
			if want := measure(m, nil); got != want {
				t.Errorf("%s, before: %+v, want %+v", name, got, want)
			}
		}}, func(e Epoch) error {
			epochs++
			if want := measure(e.Model()); *e.Test != want {
				t.Errorf("%s, epoch %d: %+v, want %+v", name, e.Epoch, *e.Test, want)
			}
			return nil
		})
		if err != nil || before != 1 || epochs != 3 {
			t.Errorf("%s: %d times before, %d epochs, %v", name, before, epochs, err)
		}
	}
}

// The model of an epoch is that of a run that ends there.
func TestTrainModelOfEpoch(t *testing.T) {
	var along [][]byte
	_, err := Train(t.Context(), toyModel(), toySet(50, 1), nil, Options{Epochs: 3, Batch: 20}, func(e Epoch) error {
		m, err := e.Model()
		if err == nil {
			along = append(along, encoded(t, m))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, got := range along {
		m, err := Train(t.Context(), toyModel(), toySet(50, 1), nil, Options{Epochs: i + 1, Batch: 20}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, encoded(t, m)) {
			t.Errorf("epoch %d: not the model of a run of %d", i+1, i+1)
		}
	}
	if len(along) != 3 {
		t.Errorf("%d models; want 3", len(along))
	}
}

// A set smaller than a batch is one batch; one more than a batch leaves a batch
// of one.
func TestTrainUnevenBatches(t *testing.T) {
	for _, n := range []int{1, 3, 8, 9, 17} {
		steps := 0
		_, err := Train(t.Context(), toyModel(), toySet(n, 1), nil, Options{Epochs: 1, Batch: 8}, func(e Epoch) error {
			steps = e.Steps
			return nil
		})
		if want := (n + 7) / 8; err != nil || steps != want {
			t.Errorf("%d samples: %d steps, want %d; %v", n, steps, want, err)
		}
	}
}

// The running statistics move as BatchNormalization in training mode says.
func TestTrainMovesStatistics(t *testing.T) {
	m := toyModel()
	m.Graph.Nodes[1].Attributes = []*onnxio.Attribute{onnxio.FloatAttr("momentum", 0.75)}
	set := toySet(20, 1)
	trained, err := Train(t.Context(), m, set, nil, Options{Epochs: 1, Batch: 20, Rate: 1e-9}, nil)
	if err != nil {
		t.Fatal(err)
	}
	// One step: the batch is the set, and the convolution is as it was.
	k, kb := floatsOf(t, m, "k"), floatsOf(t, m, "kb")
	c := kernel.Conv[float32]{Groups: 1, InChannels: 1, OutChannels: 3, Window: kernel.Window{
		In: []int{4, 4}, Kernel: []int{3, 3}, Stride: []int{1, 1}, Dilation: []int{1, 1}, PadBegin: []int{
			1,
			1,
		}, PadEnd: []int{1, 1}, Out: []int{4, 4},
	}}
	y := make([]float32, 20*3*16)
	c.Forward(20, set.X, k, kb, y)
	for channel := range 3 {
		var sum, squares float64
		for i := range 20 {
			for _, v := range y[(i*3+channel)*16:][:16] {
				sum += float64(v)
				squares += float64(v) * float64(v)
			}
		}
		mean := sum / 320
		variance := squares/320 - mean*mean
		for name, want := range map[string]float64{"mean": 0.25 * mean, "var": 0.75 + 0.25*variance} {
			if got := float64(floatsOf(t, trained, name)[channel]); math.Abs(got-want) > 1e-5 {
				t.Errorf("running %s[%d] = %g, want %g", name, channel, got, want)
			}
		}
	}
}

func TestTrainStops(t *testing.T) {
	t.Run("on a loss that is not finite", func(t *testing.T) {
		_, err := Train(t.Context(), toyModel(), toySet(40, 1), nil, Options{Batch: 20, Rate: 1e30}, nil)
		if err == nil || !strings.Contains(err.Error(),
			"step 2 (epoch 1, samples 20 to 39): the loss is not finite: NaN first shows in the output of MatMul "+
				"\"MatMul_z\"; a smaller learning rate may work") {
			t.Error(err)
		}
	})
	t.Run("on an output that is not finite, within", func(t *testing.T) {
		m := toyModel()
		m.Graph.Nodes[3] = apply("Div", "r none", "h")
		m.Graph.Initializers = append(m.Graph.Initializers, onnxio.NewTensor("none", nil, []float32{0}))
		before := encoded(t, m)
		_, err := Train(t.Context(), m, toySet(40, 1), nil, Options{Batch: 20}, nil)
		if !errors.Is(err, ErrNotFinite) ||
			!strings.Contains(err.Error(),
				`step 1 (epoch 1, samples 0 to 19): the loss is not finite: +Inf first shows in the output of Div "Div_h"`) {
			t.Error(err)
		}
		if !bytes.Equal(before, encoded(t, m)) {
			t.Error("the model changed")
		}
	})
	t.Run("on weights that are not finite in the file", func(t *testing.T) {
		m := toyModel()
		m.Graph.Initializers[7] = onnxio.NewTensor("wb", []int64{4}, []float32{1, 2, float32(math.Inf(1)), 3})
		_, err := Train(t.Context(), m, toySet(40, 1), nil, Options{Batch: 20}, nil)
		if !errors.Is(err, ErrNotFinite) ||
			!strings.Contains(err.Error(), `+Inf first shows in the weights "wb" of Add "Add_logits"`) {
			t.Error(err)
		}
	})
	t.Run("on weights that the last step spoils", func(t *testing.T) {
		_, err := Train(t.Context(), toyModel(), toySet(40, 1), nil, Options{Epochs: 1, Batch: 40, Rate: 1e39}, nil)
		if !errors.Is(err, ErrNotFinite) || !strings.Contains(err.Error(), `after step 1 (epoch 1): "`) ||
			!strings.Contains(err.Error(), `is not finite any more, it holds `) {
			t.Error(err)
		}
	})
	t.Run("when told to", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		epochs := 0
		_, err := Train(ctx, toyModel(), toySet(40, 1), nil, Options{Batch: 20}, func(Epoch) error {
			epochs++
			cancel()
			return nil
		})
		if !errors.Is(err, context.Canceled) || epochs != 1 {
			t.Errorf("%d epochs, %v", epochs, err)
		}
	})
	t.Run("on an error of the caller", func(t *testing.T) {
		enough := errors.New("enough")
		if _, err := Train(t.Context(), toyModel(), toySet(40, 1), nil, Options{},
			func(Epoch) error { return enough }); !errors.Is(err, enough) {
			t.Error(err)
		}
	})
}

func TestTrainRefuses(t *testing.T) {
	edit := func(f func(m *onnxio.Model)) *onnxio.Model {
		m := toyModel()
		f(m)
		return m
	}
	wrong := toySet(10, 1)
	wrong.Shape = []int{2, 2, 4}
	classes := toySet(10, 1)
	classes.Classes, classes.Labels[3] = 5, 4
	cases := []struct {
		name  string
		model *onnxio.Model
		set   *data.Set
		o     Options
		want  string
	}{
		{
			"options", toyModel(), toySet(10, 1),
			Options{Epochs: -1, Batch: -2, Rate: math.NaN()},
			"epochs: -1 is negative\nbatch: -2 is negative\nlearning rate: want a positive number, got NaN",
		},
		{"operators", edit(func(m *onnxio.Model) {
			m.Graph.Nodes[2].OpType, m.Graph.Nodes[3] = "Det", apply("Hardmax", "r", "h")
		}), toySet(10, 1), Options{}, "node \"Relu_r\" (Det): this operator cannot be trained\nnode \"Hardmax_h\" " +
			"(Hardmax): this operator cannot be trained: its gradient is 0 everywhere, and nothing before it would move"},
		{
			"samples of another shape", toyModel(), wrong,
			Options{},
			"training data: samples have shape [2 2 4], the model takes [1 4 4]",
		},
		{
			"more classes", toyModel(), classes,
			Options{Batch: 5},
			"training data: sample 3 has the label 4, the model tells 4 classes apart",
		},
		{
			"fixed batch", edit(func(m *onnxio.Model) { m.Graph.Inputs[0].Type.Shape[0] = onnxio.Fixed(3) }), toySet(10, 1),
			Options{Batch: 5},
			"the batch is fixed at 3, training needs 5",
		},
		{"two inputs", edit(func(m *onnxio.Model) {
			m.Graph.Inputs = append(m.Graph.Inputs, value32("more", -1, 3))
			m.Graph.Outputs = append(m.Graph.Outputs, value32("more", -1, 3))
		}), toySet(10, 1), Options{}, "the model reads 2 inputs"},
		{"half precision", edit(func(m *onnxio.Model) {
			for _, w := range m.Graph.Initializers {
				w.Type, w.Data = onnxio.Float16, onnxio.NewTensor("", nil, make([]uint16, w.Data.Len()/4)).Data
			}
			m.Graph.Inputs[0].Type.Elem, m.Graph.Outputs[0].Type.Elem = onnxio.Float16, onnxio.Float16
		}), toySet(10, 1), Options{}, "weights \"k\" are float16"},
		{"Softmax elsewhere", edit(func(m *onnxio.Model) {
			m.Graph.Nodes[7].Attributes = []*onnxio.Attribute{onnxio.IntAttr("axis", 0)}
		}), toySet(10, 1), Options{}, "node \"Softmax_p\" (Softmax): axis 0; the loss needs the classes at axis 1"},
		{"batch moved", edit(func(m *onnxio.Model) {
			m.Graph.Nodes[4] = apply("Transpose", "h", "f", onnxio.IntsAttr("perm", 1, 0, 2, 3))
			m.Graph.Nodes[5] = apply("ReduceMean", "f", "z", onnxio.IntsAttr("axes", 2, 3), onnxio.IntAttr("keepdims", 0))
			m.Graph.Nodes[6] = apply("Identity", "z", "logits")
			m.Graph.Outputs[0].Type = onnxio.TensorType{Elem: onnxio.Float32}
		}), toySet(10, 1), Options{}, "node \"ReduceMean_z\" (ReduceMean): input 0 (\"f\") has the batch on axis 1; " +
			"training needs it on the first axis here"},
		{"nothing to train", edit(func(m *onnxio.Model) {
			m.Graph.Nodes = []*onnxio.Node{apply("Flatten", "x", "p")}
			m.Graph.Outputs[0].Type = onnxio.TensorType{Elem: onnxio.Float32}
		}), toySet(10, 1), Options{}, "the model has no weights to train"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := Train(t.Context(), c.model, c.set, nil, c.o, nil)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v\nwant %q", err, c.want)
			}
		})
	}
}

// A weight that the graph computes from an initializer is trained in a copy of
// the folded graph.
func TestTrainFoldedWeights(t *testing.T) {
	m := toyModel()
	m.Graph.Initializers[6] = noise32(rand.New(rand.NewPCG(1, 1)), "wT", 0.2, 4, 48)
	m.Graph.Nodes = slices.Insert(m.Graph.Nodes, 5, apply("Transpose", "wT", "w"))
	trained, err := Train(t.Context(), m, toySet(20, 1), nil, Options{Epochs: 1}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if w := trained.Graph.Initializer("w"); w == nil || !slices.Equal(w.Dims, []int64{48, 4}) {
		t.Errorf("the trained model has no folded weight: %+v", w)
	}
	if _, err := Evaluate(t.Context(), trained, toySet(20, 1), 0); err != nil {
		t.Error(err)
	}
}

// What stands before the first weight normalises the input and is no weight.
func TestTrainLeavesInputNormalisation(t *testing.T) {
	m := toyModel()
	m.Graph.Initializers = append(m.Graph.Initializers, noise32(rand.New(rand.NewPCG(1, 1)), "shift", 1, 1, 4, 4))
	m.Graph.Nodes[0].Inputs[0] = "shifted"
	m.Graph.Nodes = slices.Insert(m.Graph.Nodes, 0, apply("Add", "x shift", "shifted"))
	trained, err := Train(t.Context(), m, toySet(20, 1), nil, Options{Epochs: 1}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(floatsOf(t, m, "shift"), floatsOf(t, trained, "shift")) {
		t.Error("the shift of the input was trained")
	}
}

// What is allowed but may be a mistake is said before training starts; what
// cannot be is refused then.
func TestTrainNotices(t *testing.T) {
	few := toySet(30, 1)
	for i, y := range few.Labels {
		if y == 2 {
			few.Labels[i] = 1
		}
	}
	wide := toyModel() // of 25 classes, of which the data know 4
	wide.Graph.Outputs[0].Type.Shape[1] = onnxio.Fixed(25)
	wide.Graph.Initializers[6] = onnxio.NewTensor("w", []int64{48, 25}, make([]float32, 48*25))
	wide.Graph.Initializers[7] = onnxio.NewTensor("wb", []int64{25}, make([]float32, 25))
	beyond := toySet(30, 1)
	beyond.Labels[7], beyond.Classes = 4, 5
	cnn := toyModel()
	local := embedAs(t, cnn, record.Local)
	for _, c := range []struct {
		what   string
		m      *onnxio.Model
		set    *data.Set
		o      Options
		notice string
		err    string
	}{
		{"nothing odd", cnn, toySet(30, 1), Options{}, "", ""},
		{"an empty class", cnn, few, Options{}, "training data: no sample of 1 of the model's 4 classes: [2]", ""},
		{
			"many empty classes", wide, toySet(30, 1),
			Options{},
			"training data: no sample of 21 of the model's 25 classes: " +
				"[4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23] and more",
			"",
		},
		{
			"a label beyond", cnn, beyond,
			Options{},
			"",
			"training data: sample 7 has the label 4, the model tells 4 classes apart",
		},
		{"made dense", local, toySet(30, 1), Options{}, `made dense to train all: layers ["Conv_c"]`, ""},
		{
			"not made dense", local, toySet(30, 1),
			Options{MaxBytes: 3000},
			"",
			`train all needs dense layers: layers ["Conv_c"] take 1728 bytes now, 3072 in dense form, ` +
				`with all other weights 5280: more than the 3000 allowed; allow more bytes, or train local`,
		},
		{
			"reinit", cnn, toySet(30, 1),
			Options{Reinit: true, Seed: 7},
			"all weights are new: uniform up to 1/√fan-in, as PyTorch initialises by default, from seed 7", "",
		},
		{
			"reinit a dense layer, train local", embed(t, cnn), toySet(30, 1),
			Options{Reinit: true, Train: TrainLocal},
			"",
			"reinit: new weights of dense layers are not local",
		},
		{
			"reinit, train tied", embed(t, cnn), toySet(30, 1),
			Options{Reinit: true, Train: TrainTied},
			"",
			"reinit: new weights are not in the CNN subspace",
		},
	} {
		c.o.Epochs, c.o.Batch = 1, 30
		var notices []string
		c.o.Notice = func(text string) { notices = append(notices, text) }
		_, err := Train(t.Context(), c.m, c.set, nil, c.o, nil)
		if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
			t.Errorf("%s: %v, want %q", c.what, err, c.err)
		}
		if got := strings.Join(notices, "\n"); got != c.notice {
			t.Errorf("%s: notices %q, want %q", c.what, got, c.notice)
		}
	}
}

// Training from new weights is training of what Reinit returns.
func TestTrainReinit(t *testing.T) {
	o := Options{Epochs: 1, Batch: 10, Reinit: true, Seed: 3}
	a, err := Train(t.Context(), embedAs(t, toyModel(), record.Local), toySet(30, 1), nil, o, nil)
	if err != nil {
		t.Fatal(err)
	}
	dense, _, err := restore.ToDense(t.Context(), embedAs(t, toyModel(), record.Local), 0)
	if err != nil {
		t.Fatal(err)
	}
	fresh, err := Reinit(dense, 3)
	if err != nil {
		t.Fatal(err)
	}
	o.Reinit = false
	b, err := Train(t.Context(), fresh, toySet(30, 1), nil, o, nil)
	if err != nil || !bytes.Equal(encoded(t, a), encoded(t, b)) {
		t.Errorf("another model (%v)", err)
	}
}
