package finetune

import (
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"efcn/convert/record"
	"efcn/finetune/data"
	"efcn/onnxio"
)

// coefficients says for every entry of the matrix of a convolution of images,
// worked out from its definition, which coefficient of the kernel it is; -1
// outside the support.
func coefficients(l record.Layer) []int {
	group := int(l.Group)
	inC, inH, inW := int(l.InputShape[0]), int(l.InputShape[1]), int(l.InputShape[2])
	outC, outH, outW := int(l.OutputShape[0]), int(l.OutputShape[1]), int(l.OutputShape[2])
	kh, kw := int(l.KernelShape[0]), int(l.KernelShape[1])
	var at []int
	for o := range outC {
		for y := range outH {
			for x := range outW {
				for c := range inC {
					for v := range inH {
						for u := range inW {
							i := v - y*int(l.Strides[0]) + int(l.Pads[0])
							j := u - x*int(l.Strides[1]) + int(l.Pads[1])
							coef := -1
							if o/(outC/group) == c/(inC/group) && i >= 0 && i < kh && j >= 0 && j < kw {
								coef = ((o*inC+c)*kh+i)*kw + j
							}
							at = append(at, coef)
						}
					}
				}
			}
		}
	}
	return at
}

func bits(t *testing.T, m *onnxio.Model, name string) []uint32 {
	t.Helper()
	var out []uint32
	for _, v := range floatsOf(t, m, name) {
		out = append(out, math.Float32bits(v))
	}
	return out
}

// groupedModel is a CNN with groups, strides, uneven padding and no bias.
func groupedModel() *onnxio.Model {
	m := toyModel()
	m.Graph.Initializers = append(m.Graph.Initializers, noise32(rand.New(rand.NewPCG(9, 1)), "k2", 0.5, 6, 1, 3, 2),
		noise32(rand.New(rand.NewPCG(8, 1)), "w2", 0.2, 24, 4))
	m.Graph.Nodes[4] = apply("Conv", "h k2", "c2", onnxio.IntAttr("group", 3), onnxio.IntsAttr("strides", 2, 2),
		onnxio.IntsAttr("pads", 1, 0, 0, 1))
	m.Graph.Nodes = append(m.Graph.Nodes[:5], append([]*onnxio.Node{apply("Flatten", "c2", "f")}, m.Graph.Nodes[5:]...)...)
	m.Graph.Nodes[6].Inputs[1] = "w2"
	return m
}

// optimisers are runs with every kind of update.
func optimisers() map[string]Options {
	return map[string]Options{
		"sgd":      {},
		"decay":    {Optimizer: Optimizer{WeightDecay: 0.1}},
		"momentum": {Optimizer: Optimizer{Momentum: 0.9, WeightDecay: 0.1}},
		"nesterov": {Optimizer: Optimizer{Momentum: 0.9, Nesterov: true}},
		"adam":     {Optimizer: Optimizer{Method: Adam, WeightDecay: 0.1}},
		"adamw":    {Optimizer: Optimizer{Method: AdamW, WeightDecay: 0.1}},
		"lasso":    {Optimizer: Optimizer{Method: BetaLasso, Lambda: 1e-3}},
		"clip":     {Clip: 0.01},
	}
}

// In every mode what is frozen keeps its bits, under every kind of optimiser,
// and what is trained moves.
func TestTrainSubsets(t *testing.T) {
	layers, runs := 0, 0
	for name, cnn := range map[string]*onnxio.Model{"toy": toyModel(), "groups": groupedModel()} {
		// A relaxed eFCN: all its weights are free of ties and zeros.
		m := relaxed(t, embed(t, cnn), toySet(60, 1))
		rec, err := record.Read(m)
		if err != nil {
			t.Fatal(err)
		}
		for _, mode := range []string{TrainAll, TrainLocal, TrainOffLocal, TrainTied} {
			for optimiser, o := range optimisers() {
				t.Run(strings.Join([]string{name, mode, optimiser}, "/"), func(t *testing.T) {
					o.Train, o.Epochs, o.Batch, o.Rate = mode, 1, 30, 0.01
					trained, err := Train(t.Context(), m, toySet(90, 3), nil, o, nil)
					if err != nil {
						t.Fatal(err)
					}
					runs++
					for _, l := range rec.Layers {
						before, after := bits(t, m, l.Weight), bits(t, trained, l.Weight)
						coef := make([]int, len(before))
						if l.Op == "Conv" {
							coef = coefficients(l)
							layers++
						}
						moved, all := 0, 0
						for i := range before {
							trains := mode == TrainAll || coef[i] >= 0 == (mode != TrainOffLocal)
							if trains {
								all++
							}
							if before[i] != after[i] {
								moved++
								if !trains {
									t.Fatalf("%s: entry %d is frozen and moved", l.Node, i)
								}
							}
						}
						// Behind a ReLU some entries meet zeros alone.
						if moved < all/4 || (all > 0 && moved == 0) {
							t.Errorf("%s: %d of %d entries moved", l.Node, moved, all)
						}
						if l.Bias != "" && mode == TrainOffLocal && !equalBits(bits(t, m, l.Bias), bits(t, trained, l.Bias)) {
							t.Errorf("%s: the bias moved", l.Node)
						}
					}
				})
			}
		}
	}
	if runs != 2*4*8 || layers != 4*8*(1+2) {
		t.Errorf("%d runs, %d layers", runs, layers)
	}
}

// The same from the other layouts: local and sparse layers train as they are or are
// made dense.
func TestTrainSubsetsOfLayouts(t *testing.T) {
	runs, compared := 0, 0
	for _, layout := range []record.Layout{record.Local, record.Sparse} {
		m := embedAs(t, groupedModel(), layout)
		modes := []string{TrainAll, TrainOffLocal, TrainLocal, TrainTied}
		rec, err := record.Read(m)
		if err != nil {
			t.Fatal(err)
		}
		for _, mode := range modes {
			for optimiser, o := range optimisers() {
				t.Run(strings.Join([]string{string(layout), mode, optimiser}, "/"), func(t *testing.T) {
					o.Train, o.Epochs, o.Batch, o.Rate = mode, 1, 30, 0.01
					var notices []string
					o.Notice = func(text string) { notices = append(notices, text) }
					trained, err := Train(t.Context(), m, toySet(60, 3), nil, o, nil)
					if err != nil {
						t.Fatal(err)
					}
					runs++
					if dense := mode == TrainAll ||
						mode == TrainOffLocal; dense != strings.Contains(strings.Join(notices, "\n"), "made dense to train "+mode) {
						t.Errorf("notices %q", notices)
					}
					for _, l := range rec.Layers {
						if l.Op != "Conv" {
							continue
						}
						before, after := entriesOf(t, m, l), entriesOf(t, trained, l)
						moved, outside := 0, 0
						for at, v := range before {
							if after[at] != v {
								moved++
							}
							if mode == TrainOffLocal && math.Float32bits(after[at]) != math.Float32bits(v) {
								t.Fatalf("%s: entry %v of the support moved from %g to %g", l.Node, at, v, after[at])
							}
							compared++
						}
						for at := range after {
							if _, ok := before[at]; !ok {
								outside++
							}
						}
						// beta-lasso keeps what begins at 0 there, for so few steps.
						dense := (mode == TrainAll || mode == TrainOffLocal) && optimiser != "lasso"
						if (outside > 0) != dense || (moved > 0) != (mode != TrainOffLocal) {
							t.Errorf("%s: %d entries of the support moved, %d outside it are not 0", l.Node, moved, outside)
						}
						if layout == record.Local && (mode == TrainLocal || mode == TrainTied) { // what lies in padding
							start, end := bits(t, m, l.Weight), bits(t, trained, l.Weight)
							for i, b := range start {
								if b == 0 && end[i] != 0 {
									t.Fatalf("%s: slot %d lies in padding and moved", l.Node, i)
								}
							}
						}
					}
				})
			}
		}
	}
	if runs != (4+4)*8 || compared == 0 {
		t.Errorf("%d runs, compared %d entries", runs, compared)
	}
}

// Layers by name, under every kind of optimiser and in the layouts that train:
// no bit of another layer changes.
func TestTrainByNameSubsets(t *testing.T) {
	runs := 0
	for _, layout := range []record.Layout{record.Dense, record.Local, record.Sparse, record.Keep} {
		m := embedAs(t, groupedModel(), layout)
		for optimiser, o := range optimisers() {
			o.Train, o.Epochs, o.Batch, o.Rate = "Conv_c2", 1, 30, 0.01
			trained, err := Train(t.Context(), m, toySet(60, 3), nil, o, nil)
			if err != nil {
				t.Fatal(err)
			}
			runs++
			names := slices.Collect(maps.Keys(m.Graph.SparseConstants()))
			for _, init := range m.Graph.Initializers {
				if init.Type == onnxio.Float32 {
					names = append(names, init.Name)
				}
			}
			var moved []string
			for _, name := range names {
				if !equalBits(bits(t, m, name), bits(t, trained, name)) {
					moved = append(moved, name)
				}
			}
			want := "Conv_c2.weight"
			if layout == record.Keep {
				want = "k2"
			}
			if len(moved) != 1 || moved[0] != want {
				t.Errorf("%s, %s: %q moved, want %s", layout, optimiser, moved, want)
			}
		}
	}
	if runs != 4*8 {
		t.Errorf("%d runs", runs)
	}
}

func equalBits(a, b []uint32) bool {
	for i, v := range a {
		if v != b[i] {
			return false
		}
	}
	return true
}

// relaxed trains all of an eFCN a little.
func relaxed(t *testing.T, m *onnxio.Model, set *data.Set) *onnxio.Model {
	t.Helper()
	m, err := Train(t.Context(), m, set, nil,
		Options{Epochs: 1, Batch: 10, Rate: 0.05, Optimizer: Optimizer{Momentum: 0.5}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// Training tied keeps an eFCN in the CNN subspace bit for bit, along the mean
// of the gradients of tied entries.
func TestTrainTied(t *testing.T) {
	m := embed(t, groupedModel())
	for _, o := range []Options{
		{},
		{Optimizer: Optimizer{Method: Adam}},
		{Optimizer: Optimizer{Momentum: 0.5, Nesterov: true}},
	} {
		o.Train, o.Epochs, o.Batch = TrainTied, 3, 10
		trained, err := Train(t.Context(), m, toySet(40, 3), nil, o, nil)
		if err != nil {
			t.Fatal(err)
		}
		d, err := record.Measure(t.Context(), trained, nil)
		if err != nil {
			t.Fatal(err)
		}
		if d.Distance != 0 || d.OffLocal != 0 || d.Bias != 0 {
			t.Errorf("%+v: it left the CNN subspace: %+v", o, d)
		}
	}

	rec, err := record.Read(m)
	if err != nil {
		t.Fatal(err)
	}
	all, one := mustTraineeOf[float64](t, m, TrainAll)
	tied, other := mustTraineeOf[float64](t, m, TrainTied)
	for _, n := range []*network[float64]{one, other} {
		fill(n, 1)
		if err := n.run(); err != nil {
			t.Fatal(err)
		}
	}
	compared := 0
	for i, p := range tied.params {
		g, full := elements[float64](other.reads[i].node.Value()), elements[float64](one.reads[i].node.Value())
		if all.params[i].name != p.name {
			t.Fatalf("parameters in another order")
		}
		p.restrict(g)
		for _, l := range rec.Layers {
			if l.Weight != p.name || l.Op != "Conv" {
				continue
			}
			coef := coefficients(l)
			sums, counts := map[int]float64{}, map[int]float64{}
			for k, c := range coef {
				sums[c] += full[k]
				counts[c]++
			}
			for k, c := range coef {
				want := 0.0
				if c >= 0 {
					want = sums[c] / counts[c]
				}
				if math.Abs(g[k]-want) > 1e-14 {
					t.Fatalf("%s: gradient %d is %g, want %g", l.Node, k, g[k], want)
				}
				compared++
			}
		}
	}
	if want := 48*16 + 24*48; compared != want {
		t.Errorf("compared %d entries, want %d", compared, want)
	}
}

func mustTraineeOf[T float32 | float64](t *testing.T, m *onnxio.Model, what string) (*trainee[T], *network[T]) {
	t.Helper()
	tr, err := newTrainee[T](m, what)
	if err != nil {
		t.Fatal(err)
	}
	n, err := tr.network(7, true)
	if err != nil {
		t.Fatal(err)
	}
	return tr, n
}

// Layers by name: what else there is keeps its bits, running statistics too.
func TestTrainByName(t *testing.T) {
	m := toyModel()
	m.Graph.Initializers[4] = onnxio.NewTensor("mean", []int64{3}, []float32{0.1, 0.2, 0.3})
	m.Graph.Initializers[5] = onnxio.NewTensor("var", []int64{3}, []float32{0.5, 1, 2})
	for pattern, moves := range map[string]string{
		"MatMul_z":             "w",
		"*l":                   "",
		"Add_*":                "wb",
		"Conv_?":               "k kb",
		"BatchNormalization_n": "scale bias mean var",
		"*_[cn]":               "",
		"*a*":                  "w scale bias mean var",
	} {
		trained, err := Train(t.Context(), m, toySet(40, 3), nil, Options{Train: pattern, Epochs: 1, Batch: 20}, nil)
		if moves == "" {
			if err == nil || !strings.Contains(err.Error(), "want all, local, off-local, tied or the name of a node") {
				t.Errorf("%s: %v", pattern, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", pattern, err)
			continue
		}
		for _, init := range m.Graph.Initializers {
			moved := !equalBits(bits(t, m, init.Name), bits(t, trained, init.Name))
			if want := strings.Contains(" "+moves+" ", " "+init.Name+" "); moved != want {
				t.Errorf("%s: %s moved: %v, want %v", pattern, init.Name, moved, want)
			}
		}
	}
}

// A frozen BatchNormalization computes what the engine computes.
func TestFrozenBatchNorm(t *testing.T) {
	m := toyModel()
	m.Graph.Initializers[4] = onnxio.NewTensor("mean", []int64{3}, []float32{0.1, 0.2, 0.3})
	m.Graph.Initializers[5] = onnxio.NewTensor("var", []int64{3}, []float32{0.5, 1, 2})
	set := toySet(20, 3)
	var first Epoch
	_, err := Train(t.Context(), m, set, nil, Options{Train: "MatMul_z", Epochs: 1, Batch: 20}, func(e Epoch) error {
		first = e
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want, err := Evaluate(t.Context(), m, set, 20)
	if err != nil || math.Abs(first.Train.Loss-want.Loss) > 1e-6 {
		t.Errorf("loss %g before the first step, the engine has %g; %v", first.Train.Loss, want.Loss, err)
	}
	// What is before it gets its gradient through it.
	m.Graph.Nodes[7] = apply("Identity", "logits", "p")
	tr, n := mustTraineeOf[float64](t, m, "Conv_c")
	fill(n, 2)
	if checked := checkGradients(t, n); len(tr.params) != 6 || checked != 17 {
		t.Errorf("%d derivatives of %d parameters", checked, len(tr.params))
	}
}

func TestTrainSubsetRefuses(t *testing.T) {
	for _, c := range []struct {
		m    *onnxio.Model
		mode string
		want string
	}{
		{
			toyModel(), TrainLocal,
			"train local: the model is no eFCN, its metadata has no record; train all or layers by name",
		},
		{embed(t, toyModel()), "none", `train "none": want all, local, off-local, tied or the name of a node`},
		{embed(t, toyModel()), "Relu*", `train Relu*: the model has no weights of that kind`},
	} {
		if c.m.Metadata[0].Value == `{"version":1,"layers":[]}` {
			c.m.Metadata = nil
		}
		if _, err := Train(t.Context(), c.m, toySet(10, 1), nil, Options{Train: c.mode}, nil); err == nil ||
			!strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", c.mode, err, c.want)
		}
	}
}

// What is trained of normalisations and slopes: everything, unless what lies outside
// the support is asked for. Along the CNN subspace the slopes, and a scale and bias
// written out, stay, as they lie along the vector; those of a node that is kept on
// tensors are a channel's, as in the CNN.
func TestTrainSubsetsOfNormalizations(t *testing.T) {
	cnn, err := onnxio.Read("testdata/nets/norms-torchscript.onnx")
	if err != nil {
		t.Fatal(err)
	}
	m := embedAs(t, cnn, record.Dense)
	images := openSet(t, "train", "?limit=40")
	tensors, vectors := []string{"4.weight", "4.bias"}, []string{
		"onnx::Mul_44.vec", "onnx::Add_45.vec",
		"onnx::PRelu_46.vec", "onnx::PRelu_47.vec",
	}
	compared := 0
	for mode, want := range map[string][]string{
		TrainAll:   slices.Concat(tensors, vectors),
		TrainLocal: slices.Concat(tensors, vectors), TrainOffLocal: nil, TrainTied: tensors,
	} {
		trained, err := Train(t.Context(), m, images, nil, Options{Train: mode, Epochs: 1, Batch: 20, Rate: 0.01}, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range slices.Concat(tensors, vectors) {
			moved := !slices.Equal(floatsOf(t, m, name), floatsOf(t, trained, name))
			if moved != slices.Contains(want, name) {
				t.Errorf("train %s: %s moved: %v", mode, name, moved)
			}
			compared++
		}
		d, err := record.Measure(t.Context(), trained, nil)
		if err != nil {
			t.Fatal(err)
		}
		if (d.Distance == 0) != (mode == TrainTied) {
			t.Errorf("train %s: distance %g from the CNN subspace", mode, d.Distance)
		}
	}
	if compared != 4*6 {
		t.Errorf("compared %d initializers", compared)
	}
}
