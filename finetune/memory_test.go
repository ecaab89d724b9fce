package finetune

import (
	"io"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"efcn/onnxio"
)

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
			Name: "wide", Inputs: []*onnxio.ValueInfo{value32("x", -1, 1, 4, 4)}, Outputs: []*onnxio.ValueInfo{value32("logits", -1, 4)},
			Initializers: []*onnxio.Tensor{
				noise32(rng, "first", 0.1, 16, width),
				{Name: "large", Type: onnxio.Float32, Dims: []int64{width, width}, Data: zeros},
				noise32(rng, "last", 0.1, width, 4),
			},
			Nodes: []*onnxio.Node{
				apply("Flatten", "x", "f"), apply("MatMul", "f first", "a"), apply("MatMul", "a large", "b"), apply("MatMul", "b last", "logits"),
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
