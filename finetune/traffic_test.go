package finetune

import (
	"testing"

	"efcn/convert"
	"efcn/convert/cut"
	"efcn/convert/record"
	"efcn/internal/mpi"
)

// TestTraffic: what a rank sends in a step is what the exchanges of its part say, and
// nothing besides: of what is gathered its own part to each other rank, and of a gradient
// that is a sum, to each other one what that has of it.
func TestTraffic(t *testing.T) {
	const ranks, batch, steps = 3, 20, 4
	const least = 200 // bytes: the classifier, behind a gather, is whole on every rank
	m := embedWith(t, branchedModel(), convert.Options{Layout: record.Dense})
	sums, wholes := 0, 0
	onRanks(ranks, func(w *mpi.World) {
		o := Options{Epochs: 2, Batch: batch, Rate: 0.05, World: w, CutFrom: least}
		if _, err := Train(t.Context(), m, toySet(2*batch, 3), nil, o, nil); err != nil {
			t.Error(err)
			return
		}
		part, err := cut.Model(m, cut.Options{Rank: w.Rank(), Ranks: ranks, Least: least})
		if err != nil {
			t.Error(err)
			return
		}
		var gathered, scattered int64
		for _, g := range part.Gathers {
			if g.Sizes == nil { // Spread: a sum, of which each rank has a stretch before all have it
				stretch := (w.Rank()+1)*batch*g.Size/ranks - w.Rank()*batch*g.Size/ranks
				scattered += 4 * int64(batch*g.Size-stretch)
				continue
			}
			own := int64(g.Sizes[w.Rank()])
			gathered += 4 * batch * own * (ranks - 1)
			if g.Partial {
				scattered += 4 * batch * (int64(g.Size) - own)
			}
			if w.Rank() == 0 && g.Partial {
				sums++
			} else if w.Rank() == 0 {
				wholes++
			}
		}
		sent := w.Traffic()
		for call, want := range map[string]int64{"Iallgatherv": gathered, "Ireduce_scatter": scattered} {
			if got := sent[call].Bytes; got != steps*want {
				t.Errorf("rank %d: %d bytes of %s in a step, want %d", w.Rank(), got/steps, call, want)
			}
		}
	})
	if sums == 0 || wholes == 0 {
		t.Errorf("%d gradients are sums and %d whole, want some of both", sums, wholes)
	}
}
