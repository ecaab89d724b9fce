package finetune

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"efcn/internal/cuda"
	"efcn/internal/mpi"
	"efcn/onnxio"
)

// onRanks calls run for each of n ranks, each in a goroutine of its own.
func onRanks(n int, run func(w *mpi.World)) {
	var group sync.WaitGroup
	for _, w := range mpi.Local(n) {
		group.Go(func() { run(w) })
	}
	group.Wait()
}

// byHand is a model that is cut by hand: nodes of the whole one, and of a part, which have
// the same initializers but for rows of those in cut. gather and spread stand for what
// joins the parts.
type byHand struct {
	shape        []int64 // of a sample of the input
	whole, parts []*onnxio.Node
	inits        []*onnxio.Tensor
	cut          map[string]int // rows of a channel
}

// channelsOf is where the channels of a rank begin and end.
func channelsOf(channels, rank, ranks int) (lo, hi int) {
	return channels * rank / ranks, channels * (rank + 1) / ranks
}

func (b byHand) model(nodes []*onnxio.Node, rank, ranks int) *onnxio.Model {
	in := onnxio.Shape{onnxio.Symbol("N")}
	for _, d := range b.shape {
		in = append(in, onnxio.Fixed(d))
	}
	value := func(name string, shape onnxio.Shape) []*onnxio.ValueInfo {
		return []*onnxio.ValueInfo{{
			Name: name, Type: onnxio.TensorType{Elem: onnxio.Float64, HasShape: true, Shape: shape},
		}}
	}
	g := &onnxio.Graph{
		Name: "cut by hand", Nodes: nodes, Inputs: value("input", in),
		Outputs: value("logits", onnxio.Shape{onnxio.Symbol("N"), onnxio.Fixed(sketchClasses)}),
	}
	for _, t := range b.inits {
		if rows, ok := b.cut[t.Name]; ok {
			v, err := onnxio.Floats[float64](t)
			if err != nil {
				panic(err)
			}
			lo, hi := channelsOf(int(t.Dims[0])/rows, rank, ranks)
			inner := len(v) / int(t.Dims[0])
			dims := append([]int64{int64((hi - lo) * rows)}, t.Dims[1:]...)
			t = onnxio.NewTensor(t.Name, dims, v[lo*rows*inner:hi*rows*inner])
		}
		g.Initializers = append(g.Initializers, t)
	}
	return &onnxio.Model{IRVersion: 8, Opsets: []onnxio.Opset{{Version: 17}, {Domain: "efcn.ranks", Version: 1}}, Graph: g}
}

// joining are the operators that join parts, of so many channels.
func joining(nodes []*onnxio.Node, channels map[string]int, ranks int) []*onnxio.Node {
	nodes = slices.Clone(nodes)
	for i, n := range nodes {
		if n.OpType != "AllGather" && n.OpType != "Spread" {
			continue
		}
		c := *n
		c.Domain = "efcn.ranks"
		if n.OpType == "AllGather" {
			var sizes []int64
			for rank := range ranks {
				lo, hi := channelsOf(channels[n.Outputs[0]], rank, ranks)
				sizes = append(sizes, int64(hi-lo))
			}
			c.Attributes = append(slices.Clone(n.Attributes), onnxio.IntsAttr("sizes", sizes...))
		}
		nodes[i] = &c
	}
	return nodes
}

func handCuts() map[string]struct {
	byHand
	channels map[string]int // of what is gathered
} {
	rng := rand.New(rand.NewPCG(1, 2))
	transB, partial := onnxio.IntAttr("transB", 1), onnxio.IntAttr("partial", 1)
	type cutByHand = struct {
		byHand
		channels map[string]int
	}
	gemm := func(inputs, output string) *onnxio.Node { return apply("Gemm", inputs, output, transB) }
	matrices := []*onnxio.Tensor{
		noise(rng, "w0", 5, 6), noise(rng, "b0", 5), noise(rng, "w1", 7, 5), noise(rng, "b1", 7), noise(rng, "w2", 3, 7),
	}
	return map[string]cutByHand{
		// Every layer is cut: gradients between them are summands on each rank.
		"a chain": {byHand{
			shape: []int64{6},
			whole: []*onnxio.Node{
				gemm("input w0 b0", "a"), apply("Tanh", "a", "t"), gemm("t w1 b1", "b"), apply("Tanh", "b", "u"),
				gemm("u w2", "logits"),
			},
			parts: []*onnxio.Node{
				gemm("input w0 b0", "a"), apply("Tanh", "a", "t"), apply("AllGather", "t", "T", partial),
				gemm("T w1 b1", "b"), apply("Tanh", "b", "u"), apply("AllGather", "u", "U", partial),
				gemm("U w2", "l"), apply("AllGather", "l", "logits"),
			},
			inits: matrices, cut: map[string]int{"w0": 1, "b0": 1, "w1": 1, "b1": 1, "w2": 1},
		}, map[string]int{"T": 5, "U": 7, "logits": 3}},
		// What is whole on all ranks is read by a layer that is cut, and by one that is not.
		"whole between": {byHand{
			shape: []int64{6},
			whole: []*onnxio.Node{
				gemm("input w0 b0", "a"), apply("Tanh", "a", "t"), gemm("t w1 b1", "b"), apply("Tanh", "b", "u"),
				gemm("t w3", "c"), apply("Add", "u c", "s"), gemm("s w2", "logits"),
			},
			parts: []*onnxio.Node{
				gemm("input w0 b0", "a"), apply("Tanh", "a", "t"), apply("Spread", "t", "T"),
				gemm("T w1 b1", "b"), apply("Tanh", "b", "u"), apply("AllGather", "u", "U"),
				gemm("t w3", "c"), apply("Add", "U c", "s"), gemm("s w2", "logits"),
			},
			inits: append([]*onnxio.Tensor{noise(rng, "w3", 7, 5)}, matrices...), cut: map[string]int{"w1": 1, "b1": 1},
		}, map[string]int{"U": 7}},
		// A gathered value has several readers that are cut: their summands are added first.
		"two readers": {byHand{
			shape: []int64{6},
			whole: []*onnxio.Node{
				gemm("input w0 b0", "a"), gemm("a w1 b1", "b"), gemm("a w3", "c"), apply("Mul", "b c", "m"),
				gemm("m w2", "logits"),
			},
			parts: []*onnxio.Node{
				gemm("input w0 b0", "a"), apply("AllGather", "a", "A", partial), gemm("A w1 b1", "b"), gemm("A w3", "c"),
				apply("Mul", "b c", "m"), apply("AllGather", "m", "M"), gemm("M w2", "logits"),
			},
			inits: append([]*onnxio.Tensor{noise(rng, "w3", 7, 5)}, matrices...),
			cut:   map[string]int{"w0": 1, "b0": 1, "w1": 1, "b1": 1, "w3": 1},
		}, map[string]int{"A": 5, "M": 7}},
		// Values of several axes are joined along channels.
		"channels": {byHand{
			shape: []int64{2, 4, 4},
			whole: []*onnxio.Node{
				apply("Flatten", "input", "f"), gemm("f w0 b0", "a"), apply("Reshape", "a shape", "r"),
				apply("BatchNormalization", "r s b m v", "n"), apply("Relu", "n", "t"),
				apply("MaxPool", "t", "p", onnxio.IntsAttr("kernel_shape", 2, 2), onnxio.IntsAttr("strides", 2, 2)),
				apply("Flatten", "p", "g"), gemm("g w1", "logits"),
			},
			parts: []*onnxio.Node{
				apply("Flatten", "input", "f"), gemm("f w0 b0", "a"), apply("Reshape", "a shape", "r"),
				apply("BatchNormalization", "r s b m v", "n"), apply("Relu", "n", "t"),
				apply("MaxPool", "t", "p", onnxio.IntsAttr("kernel_shape", 2, 2), onnxio.IntsAttr("strides", 2, 2)),
				apply("AllGather", "p", "P", partial), apply("Flatten", "P", "g"), gemm("g w1", "l"),
				apply("AllGather", "l", "logits"),
			},
			inits: []*onnxio.Tensor{
				noise(rng, "w0", 80, 32), noise(rng, "b0", 80), integers("shape", 0, -1, 4, 4), noise(rng, "s", 5),
				noise(rng, "b", 5), noise(rng, "m", 5), onnxio.NewTensor("v", []int64{5}, []float64{1, 2, 3, 4, 5}),
				noise(rng, "w1", 3, 20),
			},
			cut: map[string]int{"w0": 16, "b0": 16, "s": 1, "b": 1, "m": 1, "v": 1, "w1": 1},
		}, map[string]int{"P": 5, "logits": 3}},
	}
}

// TestRanksByHand: steps of a model that is cut over ranks come to the weights that those
// of the whole model come to, whether layers update their weights themselves or not.
func TestRanksByHand(t *testing.T) { compareHandCuts(t, nil) }

// compareHandCuts has parts computed on processors, or unless d is nil on devices, one for
// each rank.
func compareHandCuts(t *testing.T, d *cuda.Device) {
	t.Helper()
	compared := 0
	for name, c := range handCuts() {
		for _, keep := range []bool{false, true} {
			whole, net := mustNetwork[float64](t, c.model(c.whole, 0, 1), sketchBatch, keep)
			losses := handSteps(t, net)
			for _, ranks := range []int{1, 2, 3} {
				var mutex sync.Mutex
				onRanks(ranks, func(w *mpi.World) {
					part := c.model(joining(c.parts, c.channels, ranks), w.Rank(), ranks)
					tr, err := newTrainee[float64](part, TrainAll)
					if err != nil {
						t.Error(err)
						return
					}
					tr.ranks = &exchange[float64]{World: w}
					release, err := tr.toDevice(t, d, w.Rank())
					if err != nil {
						t.Error(err)
						return
					}
					defer release()
					n, err := tr.network(sketchBatch, keep)
					if err == nil && d != nil {
						err = errors.Join(tr.device.check(t.Context()), tr.device.open(t.Context()))
					}
					if err != nil {
						t.Error(err)
						return
					}
					what := fmt.Sprintf("%s on rank %d of %d", name, w.Rank(), ranks)
					if got := handSteps(t, n); !closeTo(got, losses, 1e-13) {
						t.Errorf("%s: losses %v, want %v", what, got, losses)
					}
					if err := tr.device.read(true); err != nil {
						t.Error(err)
					}
					mutex.Lock()
					defer mutex.Unlock()
					compared += c.compare(t, what, tr, whole, w)
				})
			}
		}
	}
	if want := 2 * 6 * (5 + 6 + 6 + 7); compared != want {
		t.Errorf("compared %d tensors, want %d", compared, want)
	}
}

// toDevice has a rank compute on a device of its own; nowhere else where d is nil. release
// gives back what it has there.
func (t *trainee[T]) toDevice(of *testing.T, d *cuda.Device, rank int) (release func(), err error) {
	if d == nil {
		return func() {}, nil
	}
	own := d
	if rank > 0 {
		if own, err = anotherDevice(of); err != nil {
			return nil, err
		}
	}
	t.device = newDeviceMemory(t, Options{Device: own}.WithDefaults())
	return func() {
		err := t.device.close()
		if rank > 0 {
			err = errors.Join(err, own.Close())
		}
		if err != nil {
			of.Error(err)
		}
	}, nil
}

// handSteps takes three steps and returns their losses.
func handSteps(t *testing.T, n *network[float64]) (losses []float64) {
	for step := range uint64(3) {
		fill(n, 5+step)
		if err := n.step(sgd[float64](0.05)); err != nil {
			t.Error(err)
		}
		losses = append(losses, n.loss)
	}
	return losses
}

func closeTo(got, want []float64, tolerance float64) bool {
	return slices.EqualFunc(got, want, func(a, b float64) bool { return math.Abs(a-b) <= tolerance*max(1, math.Abs(b)) })
}

// compare compares what a rank has trained with the rows of the whole model.
func (b byHand) compare(t *testing.T, what string, part, whole *trainee[float64], w *mpi.World) (compared int) {
	arrays := whole.arrays(0)
	for i, a := range part.arrays(0) {
		want := arrays[i].values
		if rows, ok := b.cut[a.Name]; ok {
			dims := whole.initializers[a.Name].Dims
			lo, hi := channelsOf(int(dims[0])/rows, w.Rank(), w.Size())
			inner := len(want) / int(dims[0])
			want = want[lo*rows*inner : hi*rows*inner]
		}
		if a.Name != arrays[i].Name || !closeTo(a.values, want, 1e-12) {
			t.Errorf("%s: %s is %v, want %v", what, a.Name, a.values, want)
		}
		compared++
	}
	return compared
}

// TestRanksRefuses: the operators that join parts need the ranks that they were made for.
func TestRanksRefuses(t *testing.T) {
	c := handCuts()["a chain"]
	for _, refused := range []struct {
		ranks, of int
		want      string
	}{
		{2, 1, "it joins what several ranks compute, and this is one"},
		{3, 2, "sizes [1 2 2] along axis 1, on rank 0 of 2, do not fit a sample of shape [1]"},
	} {
		tr, err := newTrainee[float64](c.model(joining(c.parts, c.channels, refused.ranks), 0, refused.ranks), TrainAll)
		if err != nil {
			t.Fatal(err)
		}
		if refused.of > 1 {
			tr.ranks = &exchange[float64]{World: mpi.Local(refused.of)[0]}
		}
		if _, err := tr.network(sketchBatch, false); err == nil || !strings.Contains(err.Error(), refused.want) {
			t.Errorf("got %v, want %q", err, refused.want)
		}
	}
}
