package finetune

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"efcn/convert"
	"efcn/convert/record"
	"efcn/internal/mpi"
	"efcn/onnxio"
)

// TestGroupsTrain: groups of ranks that share out every batch come to the weights that one
// process comes to, for a CNN with BatchNormalization and for eFCNs in each layout, with
// every kind of update. The last batch has one sample, which leaves groups without any.
func TestGroupsTrain(t *testing.T) {
	models := map[string]*onnxio.Model{"cnn": branchedModel()}
	for _, layout := range []record.Layout{record.Dense, record.Local, record.Sparse, record.Factored} {
		o := convert.Options{Layout: layout}
		if layout == record.Factored {
			o.Rank = 4
		}
		models[string(layout)] = embedWith(t, branchedModel(), o)
	}
	runs := 0
	for _, c := range []struct {
		model, mode string
		most        bool // of the optimisers and divisions
	}{
		{"cnn", TrainAll, true},
		{"dense", TrainAll, true},
		{"dense", TrainLocal, false},
		{"dense", TrainTied, false},
		{"dense", TrainOffLocal, false},
		{"local", TrainLocal, true},
		{"local", TrainTied, false},
		{"sparse", TrainLocal, true},
		{"sparse", TrainTied, false},
		{"factored", TrainAll, true},
		{"factored", TrainTied, false},
	} {
		for optimiser, o := range optimisers() {
			divisions := [][2]int{{4, 2}}
			switch optimiser {
			case "sgd", "clip":
				divisions = [][2]int{{2, 2}, {4, 2}, {4, 4}}
			case "adam":
			default:
				if !c.most {
					continue
				}
			}
			tolerance := roundingOf[float64]()
			if o.Optimizer.Method == AdamW && c.model == "cnn" {
				// Of b1, in front of a BatchNormalization, the gradient is 0 but for rounding, about 1e-17, which
				// Adam divides by its size and 1e-8: in each of four steps b1 may move by 0.05·1e-9 otherwise,
				// and is 0.1 large.
				tolerance = 4 * 0.05 * 1e-9 / 0.1 * 2
			}
			o.Train, o.Epochs, o.Batch, o.Rate = c.mode, 1, 23, 0.05
			one := trainOn[float64](t, 0, models[c.model], o)[0]
			for _, d := range divisions {
				o.Groups = d[1]
				t.Run(fmt.Sprintf("%s/%s/%s/%d in %d", c.model, c.mode, optimiser, d[0], d[1]), func(t *testing.T) {
					compareParts(t, trainOn[float64](t, d[0], models[c.model], o), one, tolerance)
				})
				runs++
			}
		}
	}
	if want := 5*12 + 6*7; runs != want {
		t.Errorf("%d runs, want %d", runs, want)
	}
}

// TestGroupsTraffic: a step sends the gradients of all that is trained to the other groups,
// four sums for each channel of a BatchNormalization, two for the loss, and what ranks agree
// on.
func TestGroupsTraffic(t *testing.T) {
	const ranks, batch = 3, 12
	elements := 0
	sent := func(steps int) (bytes [ranks]int64) {
		onRanks(ranks, func(w *mpi.World) {
			o := Options{Epochs: 1, Batch: batch, World: w, Groups: ranks, Optimizer: Optimizer{Momentum: 0.5}}
			trained, err := Train(t.Context(), branchedModel(), toySet(steps*batch, 3), nil, o, nil)
			if err != nil {
				t.Error(err)
				return
			}
			if bytes[w.Rank()] = w.Traffic()["Allreduce"].Bytes; w.Rank() == 0 {
				elements = 0
				for _, init := range trained.Graph.Initializers {
					if init.Name != "m" && init.Name != "v" { // running statistics
						elements += product(toInts(init.Dims))
					}
				}
			}
		})
		return bytes
	}
	two, three := sent(2), sent(3)
	const channels, agreed, float = 5, 4, 8
	for rank := range ranks {
		want := int64(ranks-1) * int64(4*elements+float*(4*channels+2+agreed))
		if got := three[rank] - two[rank]; got != want {
			t.Errorf("rank %d: a step sends %d bytes, want %d", rank, got, want)
		}
	}
}

// TestGroupsRefuses: what can't be divided is refused with what would be right.
func TestGroupsRefuses(t *testing.T) {
	onRanks(4, func(w *mpi.World) {
		for _, c := range []struct {
			o    Options
			want string
		}{
			{Options{World: w, Groups: 3}, "3 groups of ranks: want a number that divides the 4 ranks"},
			{Options{World: w, Groups: 4, Batch: 3}, "a batch of 3 cannot be cut over 4 groups of ranks"},
			{Options{World: w, Groups: -1}, "groups: -1 is negative"},
			{Options{Groups: 2}, "2 groups of ranks, where there is one process"},
		} {
			err := c.o.Validate()
			if err == nil || err.Error() != c.want {
				t.Errorf("rank %d: %v, want %s", w.Rank(), err, c.want)
			}
		}
		if err := Check(branchedModel(), toySet(40, 1), nil, Options{World: w, Groups: 2 + 2*(w.Rank()%2)}); err == nil ||
			!strings.Contains(err.Error(), "another number of groups than rank 0") {
			t.Errorf("rank %d: %v, where ranks have other numbers of groups", w.Rank(), err)
		}
	})
}

// TestGroupsAcrossSamples: what normalises over the batch is refused, as a group has a share of it.
func TestGroupsAcrossSamples(t *testing.T) {
	all := sketches()
	for _, name := range []string{"MeanVarianceNormalization", "LpNormalization 2 of the batch", "LayerNormalization 0"} {
		onRanks(2, func(w *mpi.World) {
			o := Options{World: w, Groups: 2, CutFrom: 1}.WithDefaults()
			team, err := newTeam(t.Context(), w, o.Groups)
			if err != nil {
				t.Error(err)
				return
			}
			tr, err := newTraineeOver[float64](all[name].model(3), team, o)
			if err == nil {
				_, err = tr.network(sketchBatch, false)
			}
			if err == nil || !strings.Contains(err.Error(), "across the samples of a batch") {
				t.Errorf("%s, rank %d: %v", name, w.Rank(), err)
			}
		})
	}
}

// TestGroupsDiffer: a group that comes to other weights is found, though all ranks have the
// same loss.
func TestGroupsDiffer(t *testing.T) {
	onRanks(4, func(w *mpi.World) {
		team, err := newTeam(t.Context(), w, 2)
		if err != nil {
			t.Error(err)
			return
		}
		tr, err := newTraineeOver[float32](branchedModel(), team, Options{World: w, Groups: 2, CutFrom: 1})
		if err != nil {
			t.Error(err)
			return
		}
		s, err := newSession(tr, toySet(30, 1), Options{World: w, Groups: 2}.WithDefaults())
		if err != nil {
			t.Error(err)
			return
		}
		if err := s.same(); err != nil {
			t.Errorf("rank %d: %v", w.Rank(), err)
		}
		if w.Rank() == 3 {
			tr.params[0].values[1] *= 1 + 1e-6
		}
		err = s.same()
		differs, ok := errors.AsType[*DifferentValuesError](err)
		if w.Rank()%2 == 1 && (!ok || differs.Rank != 3 || differs.First != 1 || differs.What != "hash of the weights") ||
			w.Rank()%2 == 0 && (err == nil || !strings.Contains(err.Error(), "on rank 1 and")) {
			t.Errorf("rank %d: %v", w.Rank(), err)
		}
	})
}

// TestGroupsNotFinite: that a pass is not finite any more all ranks learn, and where that
// begins, whichever group has the sample that shows it first.
func TestGroupsNotFinite(t *testing.T) {
	for sample := range 6 { // some are in either half of the batch
		set := toySet(40, 1)
		set.X[sample*set.Size()] = 3e38
		onRanks(2, func(w *mpi.World) {
			_, err := Train(t.Context(), branchedModel(), set, nil, Options{World: w, Groups: 2, Batch: 40}, nil)
			if !errors.Is(err, ErrNotFinite) || !strings.Contains(err.Error(), `first shows in the output of Conv "Conv_a1"`) {
				t.Errorf("sample %d: rank %d: %v", sample, w.Rank(), err)
			}
		})
	}
}

// TestGroupsRoom: a rank takes what its group's samples take, and the memory in which
// gradients are summed besides.
func TestGroupsRoom(t *testing.T) {
	const batch = 31
	room := func(w *mpi.World, groups int) *MemoryError {
		team, err := newTeam(t.Context(), w, groups)
		if err != nil {
			t.Error(err)
		}
		o := Options{Batch: batch, World: w, Groups: groups}.WithDefaults()
		tr, err := newTraineeOver[float32](branchedModel(), team, o)
		if err != nil {
			t.Error(err)
		}
		return tr.room(o)
	}
	alone := room(nil, 1)
	onRanks(2, func(w *mpi.World) {
		samples := batch/2 + w.Rank()
		got := room(w, 2)
		// All weights are trained, and few enough to be sent at once.
		if got.Batch != samples || got.Values*batch != alone.Values*int64(samples) || got.Weights != 3*alone.Weights {
			t.Errorf("rank %d: %v; one process: %v", w.Rank(), got, alone)
		}
	})
}
