package finetune

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"efcn/convert"
	"efcn/convert/record"
	"efcn/internal/mpi"
)

func TestReclaimable(t *testing.T) {
	path := filepath.Join(t.TempDir(), "memory.stat")
	if n := reclaimable(path); n != 0 {
		t.Errorf("no file: %d", n)
	}
	if err := os.WriteFile(path, []byte("anon 5\nfile 7000\ninactive_file 4096\nactive_file 3\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	if n := reclaimable(path); n != 4096 {
		t.Errorf("%d, want 4096", n)
	}
}

// TestRoom: what a run takes follows from the optimiser and from what a rank has, and more
// than there is is refused before any weight is read.
func TestRoom(t *testing.T) {
	if _, limit := AvailableBytes(); limit == "" {
		t.Skip("the system does not say how much memory there is")
	}
	m := embedWith(t, branchedModel(), convert.Options{Layout: record.Dense})
	weights := func(w *mpi.World, optimizer Optimizer) int64 {
		o := Options{Batch: 1 << 50, Optimizer: optimizer, World: w, CutFrom: 1}
		_, _, err := newRunOfRank(t.Context(), m, toySet(70, 3), nil, o)
		e, ok := errors.AsType[*MemoryError](err)
		if !ok || e.Need != e.Weights+e.Values || e.Values < 4*16<<50 || e.Need <= e.Allowed {
			t.Fatalf("got %v", err)
		}
		return e.Weights
	}
	all := int64(0)
	for _, init := range m.Graph.Initializers {
		if init.Type.IsFloat() {
			all += init.Data.Len()
		}
	}
	if sgd, adam := weights(nil, Optimizer{}), weights(nil, Optimizer{Method: Adam}); sgd != all || adam != 4*all {
		t.Errorf("%d bytes, and %d with adam; want %d and 4 times that", sgd, adam, all)
	}
	parts := int64(0)
	for _, w := range mpi.Local(2) {
		parts += weights(w, Optimizer{})
	}
	if parts < all || parts > all+all/10 { // biases of layers that are whole
		t.Errorf("the parts of two ranks have %d bytes, the model %d", parts, all)
	}
}
