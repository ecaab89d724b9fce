package finetune

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"efcn/convert"
	"efcn/convert/cut"
	"efcn/convert/record"
	"efcn/internal/mpi"
	"efcn/onnxio"
)

// cnnToCut has what may stand between the layers of an eFCN.
func cnnToCut() *onnxio.Model {
	rng := rand.New(rand.NewPCG(11, 12))
	pads, group := onnxio.IntsAttr("pads", 1, 1, 1, 1), onnxio.IntAttr("group", 8)
	kernel, strides := onnxio.IntsAttr("kernel_shape", 2, 2), onnxio.IntsAttr("strides", 2, 2)
	transB := onnxio.IntAttr("transB", 1)
	single := func(name string, dims ...int64) *onnxio.Tensor {
		n := 1
		for _, d := range dims {
			n *= int(d)
		}
		v := make([]float32, n)
		for i := range v {
			v[i] = float32(rng.NormFloat64() / 4)
		}
		return onnxio.NewTensor(name, dims, v)
	}
	ones := onnxio.NewTensor("variance", []int64{8}, []float32{1, 2, 1, 2, 1, 2, 1, 2})
	m := &onnxio.Model{
		IRVersion: 8, Opsets: []onnxio.Opset{{Version: 17}},
		Graph: &onnxio.Graph{
			Name: "to be cut",
			Inputs: []*onnxio.ValueInfo{{Name: "input", Type: onnxio.TensorType{
				Elem: onnxio.Float32, HasShape: true,
				Shape: onnxio.Shape{onnxio.Symbol("N"), onnxio.Fixed(2), onnxio.Fixed(8), onnxio.Fixed(8)},
			}}},
			Outputs: []*onnxio.ValueInfo{{Name: "logits", Type: onnxio.TensorType{
				Elem: onnxio.Float32, HasShape: true,
				Shape: onnxio.Shape{onnxio.Symbol("N"), onnxio.Fixed(sketchClasses)},
			}}},
			Nodes: []*onnxio.Node{
				apply("Conv", "input w1 b1", "a1", pads), apply("PRelu", "a1 slope", "r1"),
				apply("MaxPool", "r1", "m1", kernel, strides),
				apply("Conv", "m1 w2 b2", "a2", pads),
				apply("Relu", "a2", "r2"),
				apply("Conv", "r2 w3", "a3", pads), apply("Add", "a3 m1", "s"),
				apply("BatchNormalization", "s scale shift mean variance", "n"),
				apply("LeakyRelu", "n", "r3"), apply("Conv", "r3 wd", "ad", pads, group),
				apply("Conv", "r3 wg bg", "ag", pads, onnxio.IntAttr("group", 4)), apply("Mul", "ad ag", "g"),
				apply("AveragePool", "g", "m2", kernel, strides), apply("Flatten", "m2", "f"),
				apply("Gemm", "f w4 b4", "h", transB), apply("Tanh", "h", "r4"), apply("Gemm", "r4 w5 b5", "logits", transB),
			},
			Initializers: []*onnxio.Tensor{
				single("w1", 8, 2, 3, 3), single("b1", 8), single("slope", 8, 1, 1), single("w2", 8, 8, 3, 3), single("b2", 8),
				single("w3", 8, 8, 3, 3), single("wd", 8, 1, 3, 3), single("wg", 8, 2, 3, 3), single("bg", 8),
				single("scale", 8), single("shift", 8), single("mean", 8), ones,
				single("w4", 12, 32), single("b4", 12), single("w5", sketchClasses, 12), single("b5", sketchClasses),
			},
		},
	}
	return m
}

// TestCutModelsTrain: the parts of a model that convert/cut makes come to the weights that
// the whole model comes to, in each layout and whatever is trained, where all layers are
// cut and where the small ones are not.
func TestCutModelsTrain(t *testing.T) {
	compared := map[record.Layout]int{}
	for layout, trains := range map[record.Layout][]string{
		record.Dense: {TrainAll, TrainLocal, TrainTied, TrainOffLocal}, record.Sparse: {TrainLocal, TrainTied},
		record.Local: {TrainLocal, TrainTied}, record.Factored: {TrainAll, TrainLocal, TrainTied},
	} {
		m := eFCNToCut(t, layout)
		for _, train := range trains {
			whole, err := newTrainee[float64](m, train)
			if err != nil {
				t.Fatal(err)
			}
			net, err := whole.network(sketchBatch, true)
			if err != nil {
				t.Fatal(err)
			}
			losses := handSteps(t, net)
			for _, o := range []cut.Options{{Ranks: 3, Least: 1}, {Ranks: 4, Least: 1}, {Ranks: 2, Least: 3e4}} {
				o.Support = o.Ranks == 4 || train != TrainAll
				what := fmt.Sprintf("%s, train %s, %+v", layout, train, o)
				var mutex sync.Mutex
				onRanks(o.Ranks, func(w *mpi.World) {
					part, tr, n := cutNetwork(t, m, train, o, w)
					if n == nil {
						return
					}
					if got := handSteps(t, n); !closeTo(got, losses, 1e-12) {
						t.Errorf("%s: losses %v, want %v", what, got, losses)
					}
					mutex.Lock()
					defer mutex.Unlock()
					compared[layout] += compareSlices(t, what, part, tr, whole)
				})
			}
		}
	}
	want := map[record.Layout]int{record.Dense: 459, record.Sparse: 261, record.Local: 261, record.Factored: 513}
	if !maps.Equal(compared, want) {
		t.Errorf("compared %v tensors, want %v", compared, want)
	}
}

// eFCNToCut is that network converted; U of its factored layers is not 0.
func eFCNToCut(t *testing.T, layout record.Layout) *onnxio.Model {
	plan, err := convert.NewPlan(cnnToCut(), convert.Options{Layout: layout})
	if err != nil {
		t.Fatal(err)
	}
	m, err := plan.Model()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range m.Graph.Initializers {
		if !strings.HasSuffix(l.Name, ".U") {
			continue
		}
		v, err := onnxio.Floats[float32](noise(rand.New(rand.NewPCG(1, 1)), l.Name, l.Dims...))
		if err != nil {
			t.Fatal(err)
		}
		l.Data = onnxio.NewTensor(l.Name, l.Dims, v).Data
	}
	return m
}

// cutNetwork is the part of a model that a rank trains; nil after an error.
func cutNetwork(t *testing.T, m *onnxio.Model, train string, o cut.Options, w *mpi.World) (
	*cut.Part, *trainee[float64], *network[float64],
) {
	o.Rank = w.Rank()
	part, err := cut.Model(m, o)
	if err != nil {
		t.Error(err)
		return nil, nil, nil
	}
	tr, err := newTrainee[float64](part.Model, train)
	if err != nil {
		t.Error(err)
		return nil, nil, nil
	}
	tr.ranks = &exchange[float64]{World: w}
	n, err := tr.network(sketchBatch, true)
	if err != nil {
		t.Error(err)
	}
	return part, tr, n
}

// compareSlices compares what a rank has trained with its slices of the whole model.
func compareSlices(t *testing.T, what string, p *cut.Part, part, whole *trainee[float64]) (compared int) {
	all := map[string][]float64{}
	for _, a := range whole.arrays(0) {
		all[a.Name] = a.values
	}
	for _, a := range part.arrays(0) {
		want := all[a.Name]
		if s, ok := p.Slices[a.Name]; ok {
			want = nil
			for o := range s.Outer {
				want = append(want, all[a.Name][(o*s.Axis+s.Lo)*s.Inner:(o*s.Axis+s.Hi)*s.Inner]...)
			}
		}
		if !closeTo(a.values, want, 1e-11) {
			t.Errorf("%s: %s differs", what, a.Name)
		}
		compared++
	}
	return compared
}

// Over ranks the same parameters are trained as alone, also where values that decide it
// differ from rank to rank, or where another node of the exporters' form is cut.
func TestCutModelsTrainTheSameParameters(t *testing.T) {
	compared := 0
	for what, scale := range map[string][]float64{
		"GroupNorm of PyTorch": {1, 1}, "GroupNorm of a group for each channel": {1, 1, 1, 1}, "another scale": {1, 2},
	} {
		groups, rng := int64(len(scale)), rand.New(rand.NewPCG(13, 14))
		m := sketch{
			shape: []int64{4, 3, 2}, size: 24,
			inits: []*onnxio.Tensor{
				integers("groups", 0, groups, -1), integers("channels", 0, 4, 3, 2),
				onnxio.NewTensor("scale", []int64{groups}, scale),
				onnxio.NewTensor("zero", []int64{groups}, make([]float64, groups)),
				noise(rng, "s", 4, 1, 1), noise(rng, "b", 4, 1, 1),
			},
			nodes: []*onnxio.Node{
				apply("Reshape", "x groups", "g"), apply("InstanceNormalization", "g scale zero", "i"),
				apply("Reshape", "i channels", "r"), apply("Mul", "r s", "m"), apply("Add", "m b", "y"),
			},
		}.model(1)
		whole, net := mustNetwork[float64](t, m, sketchBatch, true)
		losses := handSteps(t, net)
		for _, ranks := range []int{2, 4} {
			onRanks(ranks, func(w *mpi.World) {
				part, tr, n := cutNetwork(t, m, TrainAll, cut.Options{Ranks: ranks, Least: 1}, w)
				if n == nil {
					return
				}
				if _, ok := part.Slices["w0"]; !ok {
					t.Errorf("%s: nothing is cut", what)
				}
				if got, want := names(tr), names(whole); !slices.Equal(got, want) {
					t.Errorf("%s: rank %d of %d trains %v, want %v", what, w.Rank(), ranks, got, want)
				}
				if got := handSteps(t, n); !closeTo(got, losses, 1e-12) {
					t.Errorf("%s: losses %v, want %v", what, got, losses)
				}
			})
			compared += ranks
		}
	}
	if compared != 18 {
		t.Errorf("%d ranks were compared, want 18", compared)
	}
}

// names are those of the parameters of a trainee, sorted.
func names(tr *trainee[float64]) []string {
	var all []string
	for _, p := range tr.params {
		all = append(all, p.name)
	}
	slices.Sort(all)
	return all
}

// A rank whose rows of a pruned sparse matrix are empty trains with the others.
func TestCutSparseWithEmptyRowsTrains(t *testing.T) {
	m := sketch{
		shape: []int64{4}, size: 8, nodes: []*onnxio.Node{apply("Gemm", "x pruned", "y", onnxio.IntAttr("transB", 1))},
	}.model(1)
	m.Graph.SparseInitializers = []*onnxio.SparseTensor{{ // the last 4 of 8 rows are empty
		Dims: []int64{8, 4}, Values: noise(rand.New(rand.NewPCG(15, 16)), "pruned", 5),
		Indices: onnxio.NewTensor("", []int64{5}, []int64{0, 3, 6, 9, 14}),
	}}
	whole, net := mustNetwork[float64](t, m, sketchBatch, true)
	losses := handSteps(t, net)
	onRanks(2, func(w *mpi.World) {
		part, tr, n := cutNetwork(t, m, TrainAll, cut.Options{Ranks: 2, Least: 1}, w)
		if n == nil {
			return
		}
		if got := handSteps(t, n); !closeTo(got, losses, 1e-12) {
			t.Errorf("losses %v, want %v", got, losses)
		}
		if got := compareSlices(t, "pruned", part, tr, whole); got != 3 {
			t.Errorf("compared %d tensors, want 3", got)
		}
	})
}
