package finetune

import (
	"io"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"time"

	"efcn/internal/kernel"
	"efcn/onnxio"
)

// raceEnabled: the race detector has sync.Pool forget at random.
var raceEnabled bool

// wide is a model of 16 MiB of weights, which take no memory before they are
// read, with a small matrix on either side.
func wide() *onnxio.Model {
	const width = 1 << 11
	rng := rand.New(rand.NewPCG(1, 1))
	zeros := onnxio.Generate(4*width*width, func(w io.Writer) error {
		row := make([]byte, 4*width)
		for range width {
			if _, err := w.Write(row); err != nil {
				return err
			}
		}
		return nil
	})
	m := &onnxio.Model{
		IRVersion: 8, Opsets: []onnxio.Opset{{Version: 17}},
		Graph: &onnxio.Graph{
			Name: "wide", Inputs: []*onnxio.ValueInfo{value32("x", -1, 1, 4, 4)}, Outputs: []*onnxio.ValueInfo{value32("logits",
				-1, 4)},
			Initializers: []*onnxio.Tensor{
				noise32(rng, "first", 0.1, 16, width),
				{Name: "large", Type: onnxio.Float32, Dims: []int64{width, width}, Data: zeros},
				noise32(rng, "last", 0.1, width, 4),
			},
			Nodes: []*onnxio.Node{
				apply("Flatten", "x", "f"), apply("MatMul", "f first", "a"), apply("MatMul", "a large", "b"),
				apply("MatMul", "b last", "logits"),
			},
		},
	}
	m.Graph.Nodes[1].Name = "first"
	return m
}

// Plain SGD holds the weights once, whether they are trained or frozen, as they
// were or new, and no gradient of theirs.
func TestWeightsAreHeldOnce(t *testing.T) {
	const weights = 16 << 20
	alive := func() int64 {
		runtime.GC()
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		return int64(stats.HeapAlloc)
	}
	for name, o := range map[string]Options{
		"all": {}, "frozen": {Train: "first"}, "new": {Reinit: true},
	} {
		o.Epochs, o.Batch, o.Rate = 2, 16, 1e-3
		before, epochs := alive(), 0
		_, err := Train(t.Context(), wide(), toySet(40, 1), toySet(20, 2), o, func(Epoch) error {
			epochs++
			if held := alive() - before; held < weights || held > weights*5/4 {
				t.Errorf("%s, after epoch %d: %d KiB are held, the weights are %d KiB", name, epochs, held>>10, weights>>10)
			}
			return nil
		})
		if err != nil || epochs != 2 {
			t.Errorf("%s: %d epochs, %v", name, epochs, err)
		}
	}
}

// stepBytes is what a step allocates once it is warm: the least of several
// rounds, since a thread that comes late may find no scratch buffer left.
func stepBytes(t *testing.T, n *network[float32], u update[float32]) uint64 {
	t.Helper()
	const steps = 3
	least := uint64(math.MaxUint64)
	for range 5 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range steps {
			if err := n.step(u); err != nil {
				t.Fatal(err)
			}
		}
		runtime.ReadMemStats(&after)
		least = min(least, (after.TotalAlloc-before.TotalAlloc)/steps)
	}
	return least
}

// A step allocates no array. What it does allocate is the tape machine's (two
// channels, and for each instruction a list of its inputs and a register) and what
// threads share in each loop that they do together, and it does not depend on the
// batch: an array has three elements a sample at least.
func TestStepsAllocateNoArrays(t *testing.T) {
	defer kernel.SetThreads(0)
	const small, large = 64, 256
	measured, want := 0, 0
	for name, s := range sketches() {
		if s.oneBatch {
			continue
		}
		want += 2
		for what, u := range map[string]update[float32]{
			"plain SGD": sgd[float32](1e-6), "Adam": {Optimizer: Optimizer{Method: Adam}, rate: 1e-6, step: 1, clip: 1},
		} {
			step := func(threads, batch int) (bytes uint64, layers int) {
				kernel.SetThreads(threads)
				_, n := mustNetwork[float32](t, s.model(1), batch, what != "plain SGD")
				fill(n, 1)
				return stepBytes(t, n, u), n.layers
			}
			a, _ := step(1, small)
			b, _ := step(1, large)
			if b > a+512 && !raceEnabled {
				t.Errorf("%s, %s: %d bytes a step of %d samples, %d of %d", name, what, a, small, b, large)
			}
			// Threads share 1 KiB at most for a layer and pass, and the loss.
			got, layers := step(2, large)
			if most := uint64(layers+1) * 2 << 10; got > most && !raceEnabled {
				t.Errorf("%s, %s: %d bytes a step on two threads, want at most %d for %d layers", name, what, got, most, layers)
			}
			measured++
		}
	}
	if measured != want || want < 220 {
		t.Errorf("measured %d, want %d", measured, want)
	}
}

// Between steps nobody needs what is in the buffers: others compute there.
func TestBuffersAreFreeBetweenSteps(t *testing.T) {
	compared := 0
	for name, s := range sketches() {
		var after [2][]*parameter[float64]
		for i := range after {
			tr, n := mustNetwork[float64](t, s.model(1), sketchBatch, false)
			for step := range 3 {
				fill(n, uint64(step))
				if err := n.step(sgd[float64](0.1)); err != nil {
					t.Fatal(err)
				}
				for _, b := range n.memory {
					for k := range b {
						if i > 0 {
							b[k] = math.NaN()
						}
					}
				}
			}
			after[i] = tr.params
		}
		for k, p := range after[0] {
			if !slices.Equal(p.values, after[1][k].values) {
				t.Errorf("%s: %s depends on what was in the buffers", name, p.name)
			}
			compared++
		}
	}
	if compared < 2*len(sketches()) {
		t.Errorf("compared %d parameters", compared)
	}
}

// What a training held is collected after it.
func TestNetworksAreCollected(t *testing.T) {
	tr, n := mustNetwork[float32](t, toyModel(), 20, false)
	if err := n.step(sgd[float32](1e-3)); err != nil {
		t.Fatal(err)
	}
	gone := make(chan struct{})
	runtime.AddCleanup(n, func(c chan struct{}) { close(c) }, gone)
	runtime.KeepAlive(tr)
	for range 100 {
		runtime.GC()
		select {
		case <-gone:
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
	t.Error("a network that nobody holds is still there after 100 collections")
}
