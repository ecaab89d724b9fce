package finetune

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"efcn/convert/record"
	"efcn/convert/restore"
	"efcn/internal/mpi"
	"efcn/onnxio"
)

// TestResumeOnOtherRanks: a run that is stopped again and again goes on with the bits of
// one that was not, and on other numbers of ranks near them, whatever is trained and however the weights
// come about.
func TestResumeOnOtherRanks(t *testing.T) {
	runs := 0
	for name, c := range map[string]struct {
		m *onnxio.Model
		o Options
	}{
		"cnn": {toyModel(), Options{}},
		"adam, tied": {
			embed(t, toyModel()), Options{Optimizer: Optimizer{Method: Adam}, Clip: 1, Train: TrainTied, Rate: 0.001},
		},
		"made dense":  {embedAs(t, toyModel(), record.Local), Options{}},
		"off-local":   {embedAs(t, groupedModel(), record.Factored), Options{Train: TrainOffLocal}},
		"new weights": {embed(t, toyModel()), Options{Reinit: true, Optimizer: Optimizer{Momentum: 0.5}}},
	} {
		t.Run(name, func(t *testing.T) {
			o := c.o
			o.Epochs, o.Batch = 2, 30
			if o.Rate == 0 {
				o.Rate = 0.05
			}
			one := parsed(t, trainJob(t, 1, c.m, o, nil).succeed(t).model)
			for _, ranks := range []int{2, 4} {
				whole := trainJob(t, ranks, c.m, o, nil).succeed(t).model
				nearModels(t, fmt.Sprint(ranks, " ranks"), parsed(t, whole), one)
				for _, then := range [][]int{{ranks, ranks}, {1}, {6 - ranks, 3}} {
					o := o
					o.Checkpoint, o.Resume = t.TempDir(), true
					for _, n := range append([]int{ranks}, then[:len(then)-1]...) {
						j := trainJob(t, n, c.m, o, func(rank int, _ Step) bool { return rank == n-1 })
						for rank, err := range j.errs {
							if !errors.Is(err, context.Canceled) {
								t.Fatalf("rank %d of %d: %v", rank, n, err)
							}
						}
					}
					end := trainJob(t, then[len(then)-1], c.m, o, nil).succeed(t).model
					nearModels(t, fmt.Sprint(ranks, " ranks, then ", then), parsed(t, end), one)
					if then[0] == ranks && !bytes.Equal(end, whole) {
						t.Errorf("on %d ranks throughout it comes to other bits", ranks)
					}
					runs++
				}
			}
		})
	}
	if runs != 30 {
		t.Errorf("%d runs", runs)
	}
}

// TestDensePart: a rank that holds more weights than are allowed, as no layer is cut, is
// refused, though all ranks together are allowed as many as the model has.
func TestDensePart(t *testing.T) {
	m := embedAs(t, toyModel(), record.Local)
	o := Options{MaxBytes: 1}
	whole, ok := errors.AsType[*restore.DenseError](Check(m, toySet(70, 3), nil, o))
	if !ok {
		t.Fatal("one byte is enough")
	}
	half := (whole.Need + 1) / 2
	for _, c := range []struct {
		cutFrom, maxBytes int64
		refused           bool
	}{{1, half, false}, {1 << 20, half, true}, {1 << 20, whole.Need, false}, {1 << 20, math.MaxInt64, false}} {
		for rank, err := range eachRank(t, 2, func(w *mpi.World) error {
			return Check(m, toySet(70, 3), nil, Options{World: w, CutFrom: c.cutFrom, MaxBytes: c.maxBytes})
		}) {
			want := fmt.Sprintf("in dense form rank %d of 2 has", rank)
			if (err != nil) != c.refused || err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("cut from %d, at most %d bytes: rank %d: %v", c.cutFrom, c.maxBytes, rank, err)
			}
		}
	}
}

// Layers that are made dense may take as many bytes on each rank as on one.
func TestDenseOnRanks(t *testing.T) {
	m := embedAs(t, toyModel(), record.Local)
	for _, c := range []struct {
		ranks int
		want  string
	}{{1, "more than the 3000 allowed; allow more bytes"}, {2, ""}} {
		o := Options{Epochs: 1, Batch: 30, MaxBytes: 3000}
		j := trainJob(t, c.ranks, m, o, nil)
		for rank, err := range j.errs {
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("rank %d of %d: %v, want %s", rank, c.ranks, err, c.want)
			}
		}
	}
}
