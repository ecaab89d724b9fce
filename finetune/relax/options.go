package relax

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"efcn/convert"
	"efcn/convert/record"
	"efcn/finetune"
)

// Options says what a study compares.
type Options struct {
	// Train is how every run is trained. Epochs counts those of every run but
	// the CNN's; 0 means 100. Seed is that of the first of the seeds. What is
	// trained, and the folder and snapshots of a run, are not to be given.
	Train finetune.Options
	// RelaxEpochs are the epochs of the CNN's training at which it is embedded,
	// ascending, from 0, which is before the first. nil means 0, 1, 2, 5, 10, 20, 50.
	// Where the CNNs are given they follow from those.
	RelaxEpochs []int
	// CNNEpochs is how long the CNN is trained. 0 means as long as the others,
	// or to the last relax time where that is later.
	CNNEpochs int
	// Seeds is the number of seeds; 0 means 3.
	Seeds int
	// Layout is the form in which all weights of the embedded CNN are trained:
	// record.Dense, which "" means as well, or record.Factored. Then there is no FCN,
	// whose matrices are dense.
	Layout record.Layout
	// Rank is that of the factored layers; 0 means convert.DefaultRank. It goes with
	// the layout factored, and so do Train.Init and Train.Refresh, which choose V.
	Rank int
	// With adds runs at every relax time.
	With []Kind
	// Reinit gives the CNN new weights, other ones for every seed.
	Reinit bool
	// KeepCheckpoints keeps the checkpoint of every run that is finished, as large as its
	// model or larger, so that a study with more epochs goes on there. Without, a run that is
	// to have more is made again from its start, and ends with the same bits.
	KeepCheckpoints bool
	// NoFoldBN is that of the conversion. The CNN trains with its BatchNormalizations, by
	// the statistics of each batch. At the embedding they become what they compute at
	// inference: a scale and a shift of every channel by the running statistics. Behind a
	// Conv or Gemm these are multiplied into the matrix and the bias; the eFCN has no
	// normalisation any more, as the nets of the paper have none from the start, and d, s
	// and the nearest CNN are those of kernel·scale. With NoFoldBN, and where there is no
	// matrix in front, they stay beside it as Mul and Add of one scale and shift for every
	// output. These train too, each by itself; d and s are of the kernel as the CNN has it,
	// and the nearest CNN keeps the Mul and Add that training came to. No eFCN normalises
	// by the statistics of a batch.
	NoFoldBN bool
	// MaxBytes is that of the conversion.
	MaxBytes int64
	// MaxMemory bounds what a run may take, in bytes, as far as that is known before it
	// starts: see [MemoryError]. 0 means what the machine has left.
	MaxMemory int64
}

// WithDefaults returns o with the default in place of every zero.
func (o Options) WithDefaults() Options {
	if o.Train.Epochs == 0 {
		o.Train.Epochs = 100
	}
	o.Train = o.Train.WithDefaults()
	if o.RelaxEpochs == nil {
		o.RelaxEpochs = []int{0, 1, 2, 5, 10, 20, 50}
	}
	if o.CNNEpochs == 0 {
		o.CNNEpochs = max(o.Train.Epochs, o.RelaxEpochs[len(o.RelaxEpochs)-1])
	}
	if o.Seeds == 0 {
		o.Seeds = 3
	}
	return o
}

// relaxed is the kind of run that trains all weights of the embedded CNN.
func (o Options) relaxed() Kind {
	if o.Layout == record.Factored {
		return Factored(cmp.Or(o.Rank, convert.DefaultRank), o.Train.Init, o.Train.Refresh)
	}
	return EFCN
}

// Validate reports fields that are out of range.
func (o Options) Validate() error {
	var errs []error
	say := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	errs = append(errs, o.Train.Validate())
	if t := o.Train; t.Train != "" || t.Reinit || t.Checkpoint != "" || t.Resume || t.Snapshots != (finetune.Snapshots{}) {
		say("what is trained and from where, and the folder and the snapshots of a run, are the study's business")
	}
	if o.Train.Holdout != (finetune.Holdout{}) {
		say("holdout: all runs of a study are as long as each other, and none is chosen")
	}
	if o.RelaxEpochs != nil && len(o.RelaxEpochs) == 0 {
		say("relax epochs: none")
	}
	for i, t := range o.RelaxEpochs {
		if t < 0 {
			say("relax epochs: %d is negative", t)
		}
		if i > 0 && t <= o.RelaxEpochs[i-1] {
			say("relax epochs: %d after %d; want them ascending", t, o.RelaxEpochs[i-1])
		}
	}
	if n := len(o.RelaxEpochs); o.CNNEpochs < 0 || o.CNNEpochs > 0 && n > 0 && o.CNNEpochs < o.RelaxEpochs[n-1] {
		say("the CNN is trained for %d epochs; want those of the last relax time at least", o.CNNEpochs)
	}
	if o.Seeds < 0 {
		say("seeds: %d is negative", o.Seeds)
	}
	switch {
	case o.Layout != "" && o.Layout != record.Dense && o.Layout != record.Factored:
		say("layout %q: want %q or %q", o.Layout, record.Dense, record.Factored)
	case o.Rank < 0:
		say("rank %d: want a number from 1", o.Rank)
	case o.Rank > 0 && o.Layout != record.Factored:
		say("rank %d: only the layout %q has one", o.Rank, record.Factored)
	case (o.Train.Init != "" || o.Train.Refresh > 0) && o.Layout != record.Factored:
		say("init %q, refresh %d: only the layout %q has a V to choose; of runs that with adds it is part of the kind",
			o.Train.Init, o.Train.Refresh, record.Factored)
	}
	for i, k := range o.With {
		if !k.extra() {
			say("with %q: want some of %q, %q with a rank R from 1, also with %q and with \"refresh-N\" behind a colon", k,
				Extras(), "factored-R", finetune.Inits())
		}
		if slices.Contains(o.With[:i], k) || k == o.relaxed() {
			say("with %q is given twice", k)
		}
	}
	if o.MaxBytes < 0 {
		say("max bytes: %d is negative", o.MaxBytes)
	}
	if o.MaxMemory < 0 {
		say("max memory: %d is negative", o.MaxMemory)
	}
	return errors.Join(errs...)
}

// Run names a run of a study.
type Run struct {
	Kind Kind
	Seed uint64
	// Relax is how many epochs the CNN had been trained for; -1 where nothing
	// was embedded.
	Relax int
}

// Path is the run's folder, within that of the study, with slashes.
func (r Run) Path() string {
	path := "seed-" + strconv.FormatUint(r.Seed, 10) + "/" + strings.ReplaceAll(string(r.Kind), ":", "-")
	if r.Relax >= 0 {
		path += "-" + strconv.Itoa(r.Relax)
	}
	return path
}

// cnn is the run of the CNN that is embedded.
func (r Run) cnn() Run { return Run{CNN, r.Seed, -1} }

// relaxEpoch is Relax, nil where nothing was embedded.
func (r Run) relaxEpoch() *int {
	if r.Relax < 0 {
		return nil
	}
	return &r.Relax
}

// Runs lists the runs of a study in the order in which they are done: all of
// a seed before the next seed, and a CNN before what is made from it.
func (s *Settings) Runs() []Run {
	var all []Run
	for i := range s.Seeds {
		seed := s.Seed + uint64(i)
		if s.Given == nil {
			all = append(all, Run{CNN, seed, -1})
		}
		if s.hasFCN() {
			all = append(all, Run{FCN, seed, -1})
		}
		for _, t := range s.RelaxEpochs {
			for _, k := range s.Embedded() {
				all = append(all, Run{k, seed, t})
			}
		}
	}
	return all
}
