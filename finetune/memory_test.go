package finetune

import (
	"runtime"
	"testing"
	"time"

	"efcn/onnxio"
)

// trained returns a network that has taken a step.
func trained(t *testing.T, m *onnxio.Model, batch int) *network[float32] {
	t.Helper()
	tr, err := newTrainee[float32](m, TrainAll)
	if err != nil {
		t.Fatal(err)
	}
	n, err := tr.network(batch, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := n.step(sgd[float32](1e-3)); err != nil {
		t.Fatal(err)
	}
	return n
}

// What a training held is collected after it.
func TestNetworksAreCollected(t *testing.T) {
	gone := make(chan struct{})
	runtime.AddCleanup(trained(t, toyModel(), 20), func(c chan struct{}) { close(c) }, gone)
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
