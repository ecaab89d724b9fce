package finetune

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"efcn/convert"
	"efcn/convert/record"
	"efcn/internal/kernel"
	"efcn/internal/mpi"
	"efcn/onnxio"
)

// branchedModel is a CNN whose eFCN has between its layers what stays on the ranks, and
// what does not: normalisation, pooling, a sum of branches, a layer in groups.
func branchedModel() *onnxio.Model {
	ones := func(name string, n int) *onnxio.Tensor {
		return onnxio.NewTensor(name, []int64{int64(n)}, slices.Repeat([]float32{1}, n))
	}
	zeros := func(name string, n int) *onnxio.Tensor {
		return onnxio.NewTensor(name, []int64{int64(n)}, make([]float32, n))
	}
	rng := rand.New(rand.NewPCG(3, 4))
	pads := onnxio.IntsAttr("pads", 1, 1, 1, 1)
	return &onnxio.Model{
		IRVersion: 8, Opsets: []onnxio.Opset{{Version: 17}},
		Graph: &onnxio.Graph{
			Name: "branched", Inputs: []*onnxio.ValueInfo{value32("x", -1, 1, 4, 4)},
			Outputs: []*onnxio.ValueInfo{value32("logits", -1, 4)},
			Initializers: []*onnxio.Tensor{
				noise32(rng, "k1", 0.5, 5, 1, 3, 3), noise32(rng, "b1", 0.1, 5), ones("s", 5), zeros("b", 5), zeros("m", 5),
				ones("v", 5), noise32(rng, "k2", 0.3, 5, 5, 3, 3), noise32(rng, "b2", 0.1, 5), noise32(rng, "k3", 0.3, 6, 5, 1, 1),
				noise32(rng, "k4", 0.4, 6, 2, 2, 2), noise32(rng, "w5", 0.3, 9, 6), noise32(rng, "b5", 0.1, 9),
				noise32(rng, "w6", 0.3, 4, 9), noise32(rng, "b6", 0.1, 4),
			},
			Nodes: []*onnxio.Node{
				apply("Conv", "x k1 b1", "a1", pads), apply("BatchNormalization", "a1 s b m v", "n1"), apply("Relu", "n1", "r1"),
				apply("Conv", "r1 k2 b2", "a2", pads), apply("Add", "a2 r1", "s2"), apply("Relu", "s2", "r2"),
				apply("MaxPool", "r2", "p2", onnxio.IntsAttr("kernel_shape", 2, 2), onnxio.IntsAttr("strides", 2, 2)),
				apply("Conv", "p2 k3", "a3"), apply("Tanh", "a3", "r3"), apply("Conv", "r3 k4", "a4", onnxio.IntAttr("group", 3)),
				apply("Flatten", "a4", "f"), apply("Gemm", "f w5 b5", "a5", onnxio.IntAttr("transB", 1)), apply("Relu", "a5", "r5"),
				apply("Gemm", "r5 w6 b6", "logits", onnxio.IntAttr("transB", 1)),
			},
		},
	}
}

// trainOn trains m for the epochs of o on as many ranks, and returns their sessions, rank 0
// first; without ranks that of one process.
func trainOn[T kernel.Float](t *testing.T, ranks int, m *onnxio.Model, o Options) []*session[T] {
	t.Helper()
	set := toySet(70, 3)
	run := func(w *mpi.World) (*session[T], error) {
		o := o.WithDefaults()
		o.World, o.CutFrom = w, 1
		team, err := newTeam(t.Context(), w, o.Groups)
		if err != nil {
			return nil, err
		}
		tr, err := newTraineeOver[T](m, team, o)
		if err != nil {
			return nil, err
		}
		s, err := newSession(tr, set, o)
		for err == nil && s.at.Epoch <= o.Epochs {
			if _, err = s.epoch(t.Context()); err == nil {
				s.at = progress{Epoch: s.at.Epoch + 1, Steps: s.at.Steps}
			}
		}
		return s, err
	}
	if ranks == 0 {
		s, err := run(nil)
		if err != nil {
			t.Fatal(err)
		}
		return []*session[T]{s}
	}
	sessions, errs := make([]*session[T], ranks), make([]error, ranks)
	onRanks(ranks, func(w *mpi.World) { sessions[w.Rank()], errs[w.Rank()] = run(w) })
	for rank, err := range errs {
		if err != nil {
			t.Fatalf("rank %d of %d: %v", rank, ranks, err)
		}
	}
	return sessions
}

// roundingOf is by how much of its largest element an array may differ between numbers of
// ranks. They sum in another order: up to 480 terms, of 30 samples at 16 positions, through
// eight layers forward and back, are 16·480 roundings, of which 0.05 moves a weight in each
// of six steps: at worst 1.4e-4 in float32, of which less is allowed, and 2.6e-13 in float64,
// where a factor of 4000 is left for what normalisations and Adam divide by.
func roundingOf[T kernel.Float]() float64 {
	if dtypeSize[T]() == 4 {
		return 1e-4
	}
	return 1e-9
}

// compareParts compares what ranks have trained with what one process has, and returns how
// many parts of arrays it compared. The difference may be tolerance times the largest
// element.
func compareParts[T kernel.Float](t *testing.T, ranks []*session[T], whole *session[T], tolerance float64) (parts int) {
	t.Helper()
	weights := func(s *session[T]) []array[T] {
		return slices.DeleteFunc(s.trainee.arrays(0), func(a array[T]) bool { return a.State })
	}
	want := map[string][]T{}
	for _, a := range weights(whole) {
		want[a.Name] = a.values
	}
	for rank, s := range ranks {
		for _, a := range weights(s) {
			all := want[a.Name]
			own := all
			if slice, ok := s.trainee.part.Slices[a.Name]; ok {
				own = nil
				for o := range slice.Outer {
					at := o * slice.Axis * slice.Inner
					own = append(own, all[at+slice.Lo*slice.Inner:at+slice.Hi*slice.Inner]...)
				}
				parts++
			}
			largest := 0.0
			for _, v := range all {
				largest = max(largest, math.Abs(float64(v)))
			}
			if len(own) != len(a.values) {
				t.Fatalf("rank %d of %d: %s has %d elements, want %d", rank, len(ranks), a.Name, len(a.values), len(own))
			}
			for i, v := range a.values {
				if d := math.Abs(float64(v) - float64(own[i])); !(d <= tolerance*largest) {
					t.Errorf("rank %d of %d: %s[%d] is %v, want %v", rank, len(ranks), a.Name, i, v, own[i])
					break
				}
			}
		}
	}
	return parts
}

// TestRanksTrain: on 1, 2, 3 and 4 ranks training comes to the weights that one process
// comes to, for eFCNs in each layout and with every kind of update.
func TestRanksTrain(t *testing.T) {
	parts := 0
	for _, layout := range []record.Layout{record.Dense, record.Local, record.Sparse, record.Factored} {
		for name, cnn := range map[string]*onnxio.Model{"toy": toyModel(), "branched": branchedModel()} {
			o := convert.Options{Layout: layout}
			if layout == record.Factored {
				o.Rank = 4
			}
			m := embedWith(t, cnn, o)
			modes := []string{TrainAll, TrainLocal, TrainTied}
			switch layout {
			case record.Dense:
				modes = append(modes, TrainOffLocal)
			case record.Local, record.Sparse:
				modes = modes[1:]
			}
			for _, mode := range modes {
				for optimiser, o := range optimisers() {
					numbers := []int{3}
					if optimiser == "sgd" || optimiser == "clip" {
						numbers = []int{1, 2, 3, 4}
					}
					o.Train, o.Epochs, o.Batch, o.Rate = mode, 1, 30, 0.05
					whole := trainOn[float64](t, 0, m, o)[0]
					for _, ranks := range numbers {
						t.Run(fmt.Sprintf("%s/%s/%s/%s/%d", layout, name, mode, optimiser, ranks), func(t *testing.T) {
							parts += compareParts(t, trainOn[float64](t, ranks, m, o), whole, roundingOf[float64]())
						})
					}
				}
			}
		}
	}
	if want := 4856; parts != want {
		t.Errorf("compared %d parts, want %d", parts, want)
	}
}

// TestRanksRepeat: at one number of ranks training has the same bits in every run, in
// float32, and is near to that of one process.
func TestRanksRepeat(t *testing.T) {
	for _, layout := range []record.Layout{record.Dense, record.Factored} {
		o := convert.Options{Layout: layout}
		if layout == record.Factored {
			o.Rank = 4
		}
		m := embedWith(t, branchedModel(), o)
		options := Options{Epochs: 2, Batch: 30, Rate: 0.05, Optimizer: Optimizer{Momentum: 0.5}, Clip: 1}
		whole := trainOn[float32](t, 0, m, options)[0]
		for _, ranks := range []int{2, 3} {
			first, second := trainOn[float32](t, ranks, m, options), trainOn[float32](t, ranks, m, options)
			compareParts(t, first, whole, roundingOf[float32]())
			for rank := range first {
				arrays := second[rank].trainee.arrays(1)
				for i, a := range first[rank].trainee.arrays(1) {
					if !slices.Equal(a.values, arrays[i].values) {
						t.Errorf("%s, rank %d of %d: %s is not the same bits again", layout, rank, ranks, a.what())
					}
				}
			}
		}
	}
}
