package finetune

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
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
		_, _, err := newRun(t.Context(), m, toySet(70, 3), nil, o)
		e, ok := errors.AsType[*MemoryError](err)
		if !ok || e.Need != e.Weights+e.Values || e.Values < 4*16<<50 || e.Need <= e.Allowed {
			t.Errorf("got %v", err)
			return 0
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
	var parts atomic.Int64
	onRanks(2, func(w *mpi.World) { parts.Add(weights(w, Optimizer{})) })
	if n := parts.Load(); n < all || n > all+all/10 { // biases of layers that are whole
		t.Errorf("the parts of two ranks have %d bytes, the model %d", n, all)
	}
}

// TestRoomTogether: what the ranks of one machine take together is compared with what it
// has: one that takes 0.6 of it may train, two may not.
func TestRoomTogether(t *testing.T) {
	left, known := machineBytes()
	if space, limited := addressSpace(); !known || limited && space < left {
		t.Skip("what the machine has is not what limits a process")
	}
	m := embedWith(t, branchedModel(), convert.Options{Layout: record.Dense})
	for _, ranks := range []int{1, 2} {
		onRanks(ranks, func(w *mpi.World) {
			o := Options{Batch: 1, World: w, CutFrom: 1}
			tr, err := newTraineeOver[float32](m, &team{all: w, group: w}, o)
			if err != nil {
				t.Error(err)
				return
			}
			o.Batch = int(left * 6 / 10 / tr.room(o).Values)
			err = tr.checkRoom(t.Context(), o)
			if ranks == 1 {
				if err != nil {
					t.Error(err)
				}
				return
			}
			e, ok := errors.AsType[*MemoryError](err)
			if !ok || e.Need > e.Allowed || e.Together <= e.Allowed || e.Here != 2 ||
				!strings.Contains(err.Error(), fmt.Sprintf("the parts of the 2 ranks on this machine %d", e.Together)) {
				t.Errorf("rank %d: got %v", w.Rank(), err)
			}
		})
	}
}
