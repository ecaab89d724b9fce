package finetune

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"efcn/convert/cut"
	"efcn/finetune/data"
	"efcn/internal/cuda"
	"efcn/internal/mpi"
)

// Options says how to train. The zero value trains as the paper does.
type Options struct {
	// Epochs is the number of passes over the training set; 0 means 10.
	Epochs int
	// Batch is the number of samples a step; 0 means 250. The last step of an
	// epoch takes what is left.
	Batch int
	// Rate is the learning rate; 0 means 0.1.
	Rate float64
	// Schedule says how the rate changes over the run.
	Schedule Schedule
	// Optimizer says how weights follow their gradients.
	Optimizer Optimizer
	// Clip bounds the norm of all gradients together: where it is greater, all
	// are shrunk to it alike. 0 means no bound.
	Clip float64
	// Train says what is trained: TrainAll, which "" means as well, TrainLocal,
	// TrainOffLocal, TrainTied, or else the name of a node with * for any
	// characters and ? for one, whose weights are trained alone. What is not
	// trained stays as it is, bit for bit; a BatchNormalization that is not
	// trained normalises by its running statistics.
	Train string
	// MaxBytes bounds the weights where layers are made dense first: TrainAll and
	// TrainOffLocal do that to the local and sparse layers of an eFCN, TrainOffLocal to
	// factored layers too. 0 means record.DefaultMaxBytes; layers that would not fit are
	// refused. On several ranks it is for what each holds: its own rows, and all of the
	// layers that are not cut.
	MaxBytes int64
	// Reinit starts from new weights, those of the function Reinit with Seed, in
	// place of those of the model. It goes with TrainAll, with layers by name, and with
	// TrainLocal where no embedded layer stores entries outside its support: not where one
	// is dense, or sparse with some of those. Factored layers are refused.
	Reinit bool
	// Init chooses V of the factored layers anew before the first step, of those whose
	// factors are trained. Their U has to be 0. "" means that V is as the model has it.
	Init Init
	// InitBatches is the number of batches, the first of the epoch, that InitGradient and
	// Refresh sum the gradient over; 0 means 10, or all of an epoch if those are fewer.
	InitBatches int
	// Refresh restarts the subspace of the factored layers after every so many epochs: the
	// leading half of U·V stays, what is cut of it lives on in the local weights as far
	// as it lies in the support, and the freed rows of V become the leading directions of
	// the gradient outside the support as it is then. 0 means never.
	Refresh int
	// Augment changes the samples at random in every epoch. What is black there
	// follows from the Mean and Std of the set: 0 where it has none.
	Augment data.Augment
	// Seed decides the order of the samples in every epoch, and how they are
	// augmented; 0 is a seed like any other.
	Seed uint64
	// World is the ranks that train the model together, all of which call Train with the
	// same arguments. Each trains its part of the large layers, see package cut, and all
	// come to the same losses and metrics. Rank 0 alone writes files. Default (nil): this
	// process trains the model by itself.
	World *mpi.World
	// Groups divides the ranks of World into so many groups of as many ranks: each has the
	// whole network, cut over its ranks, and takes a share of every batch. Gradients are
	// summed over the groups before weights move, and a BatchNormalization normalises by the
	// statistics of the whole batch. 0 means one group; a number that does not divide the
	// ranks is a *GroupsError.
	Groups int
	// CutFrom is from how many bytes of weights on a layer is cut over the ranks; smaller ones
	// are trained by each. 0 means [cut.DefaultLeast].
	CutFrom int64
	// Device is the GPU that the model is trained and measured on; Init and Refresh compute V
	// of factored layers on the processor. Every rank of World has a device of its own, all of
	// one kind; what they exchange passes through the memory of the host. Default (nil): the
	// processor.
	Device *cuda.Device
	// Checkpoint is a folder, made where it is missing, for the state of the run:
	// it is saved after every epoch, within epochs as SaveEvery says, and when the
	// context ends the run, each time as a whole new file. Beside it metrics.jsonl
	// gets a line of EpochMetrics after every epoch, and a file of events the same
	// for TensorBoard. A folder that holds a run already is refused, unless Resume
	// says to go on with that, and so is one that another process trains in. ""
	// means that nothing is saved.
	Checkpoint string
	// About is kept in about.json in that folder for those who read it, beside the options
	// and what the model was before the first step: [About]. Default (nil): there is no
	// such file.
	About map[string]string
	// SaveEvery says how much work a run that is killed may lose; the zero value
	// means a minute.
	SaveEvery Interval
	// Snapshots says when the model is kept in that folder, as step-N.onnx.
	Snapshots Snapshots
	// Resume goes on with the run of Checkpoint, or begins it where nothing is
	// saved yet. Model, data, options and number of threads have to be those of
	// that run, but for Epochs, which may be more unless the schedule depends on
	// it. It ends with the bits that a run without a stop ends with.
	Resume bool
	// Holdout ends the training early, or keeps the best of its models, by samples that are
	// not trained on. Several ranks keep the best in the folder of Checkpoint; without one
	// that is a *NoFolderError. Default none.
	Holdout Holdout
	// Notice is called with a line about what is allowed but may be a mistake or a
	// surprise: layers made dense, classes without samples, large layers that every rank
	// of World has whole. Default (nil): none.
	Notice func(text string)
	// Collect is called where it pays to collect garbage: before weights are read
	// into memory, where those of a run before may still be, and once all that the
	// run holds has been made. nil means that Go collects when it likes.
	Collect func()
	// Before is called, where there are test data, with the metrics of the model on
	// them before the first step: as it was given, not as a checkpoint has it.
	// Default (nil): the model is not measured then.
	Before func(test Metrics)
	// Stepped is called after every step. Default (nil): it is not called.
	Stepped func(Step)
}

// Step is where a run is after a step.
type Step struct {
	Epoch   int     // from 1
	Samples int     // of the epoch, taken so far
	Of      int     // samples of an epoch
	Loss    float64 // their mean, each before the update of its batch
}

// Interval is a number of steps, or a time.
type Interval struct {
	Steps int
	Time  time.Duration
}

// ParseInterval reads a number of steps, or a time such as "30s" or "5m".
func ParseInterval(text string) (Interval, error) {
	if n, err := strconv.Atoi(text); err == nil && n > 0 {
		return Interval{Steps: n}, nil
	}
	if d, err := time.ParseDuration(text); err == nil && d > 0 {
		return Interval{Time: d}, nil
	}
	return Interval{}, fmt.Errorf("%q: want a number of steps from 1, or a time such as 30s or 5m", text)
}

// Validate reports fields that are out of range.
func (o Options) Validate() error {
	var errs []error
	if o.Epochs < 0 {
		errs = append(errs, fmt.Errorf("epochs: %d is negative", o.Epochs))
	}
	if o.Batch < 0 {
		errs = append(errs, fmt.Errorf("batch: %d is negative", o.Batch))
	}
	if !(o.Rate >= 0) || math.IsInf(o.Rate, 0) {
		errs = append(errs, fmt.Errorf("learning rate: want a positive number, got %g", o.Rate))
	}
	if !(o.Clip >= 0) || math.IsInf(o.Clip, 0) {
		errs = append(errs, fmt.Errorf("clip: want a number from 0, got %g", o.Clip))
	}
	if o.MaxBytes < 0 {
		errs = append(errs, fmt.Errorf("max bytes: %d is negative", o.MaxBytes))
	}
	if o.Reinit && (o.Train == TrainTied || o.Train == TrainOffLocal) {
		errs = append(errs, fmt.Errorf("reinit: new weights are not in the CNN subspace, which training %s starts from; "+
			"train all or local, or give the CNN new weights and convert it", o.Train))
	}
	if o.Init != "" && !slices.Contains(Inits(), o.Init) {
		errs = append(errs, fmt.Errorf("init %q: want one of %q", o.Init, Inits()))
	}
	if o.InitBatches < 0 {
		errs = append(errs, fmt.Errorf("init batches: %d is negative", o.InitBatches))
	}
	if o.Refresh < 0 {
		errs = append(errs, fmt.Errorf("refresh: %d is negative", o.Refresh))
	}
	if o.ranks() > 1 && (o.Init != "" || o.Refresh > 0) {
		errs = append(errs, errors.New("init and refresh choose V of factored layers, of which several ranks have parts; "+
			"train on one rank, or leave V as it is"))
	}
	if o.Groups < 0 {
		errs = append(errs, fmt.Errorf("groups: %d is negative", o.Groups))
	} else if ranks := o.ranks(); o.Groups > 0 && ranks%o.Groups != 0 {
		errs = append(errs, &GroupsError{Groups: o.Groups, Ranks: ranks})
	} else if batch := o.WithDefaults().Batch; o.Groups > 1 && batch > 0 && batch < o.Groups {
		errs = append(errs, fmt.Errorf("a batch of %d cannot be cut over %d groups of ranks", batch, o.Groups))
	}
	if o.CutFrom < 0 {
		errs = append(errs, fmt.Errorf("cut from: %d bytes is negative", o.CutFrom))
	}
	if o.SaveEvery.Steps < 0 || o.SaveEvery.Time < 0 {
		errs = append(errs, fmt.Errorf("save every: %+v is negative", o.SaveEvery))
	}
	if o.Resume && o.Checkpoint == "" {
		errs = append(errs, errors.New("resume: want the folder of the checkpoint"))
	}
	if o.Snapshots != (Snapshots{}) && o.Checkpoint == "" {
		errs = append(errs, errors.New("snapshots: want the folder of the checkpoint"))
	}
	if ranks := o.ranks(); o.Holdout.Best && ranks > 1 && o.Checkpoint == "" {
		errs = append(errs, &NoFolderError{ranks})
	}
	errs = append(errs, o.Schedule.validate(), o.Holdout.validate())
	errs = append(errs, o.Optimizer.validate()...)
	return errors.Join(errs...)
}

// WithDefaults returns o with the default in place of every zero.
func (o Options) WithDefaults() Options {
	if o.Epochs == 0 {
		o.Epochs = 10
	}
	if o.Batch == 0 {
		o.Batch = 250
	}
	if o.Rate == 0 {
		o.Rate = 0.1
	}
	if o.CutFrom == 0 {
		o.CutFrom = cut.DefaultLeast
	}
	if o.SaveEvery == (Interval{}) {
		o.SaveEvery.Time = time.Minute
	}
	if o.InitBatches == 0 {
		o.InitBatches = 10
	}
	o.Optimizer = o.Optimizer.withDefaults()
	return o
}

// GroupsError says that ranks can't be divided into so many groups of as many ranks.
type GroupsError struct{ Groups, Ranks int }

func (e *GroupsError) Error() string {
	if e.Ranks == 1 {
		return fmt.Sprintf("%d groups of ranks, where there is one process", e.Groups)
	}
	return fmt.Sprintf("%d groups of ranks: want a number that divides the %d ranks", e.Groups, e.Ranks)
}

// ranks is how many train the model together.
func (o Options) ranks() int {
	if o.World == nil {
		return 1
	}
	return o.World.Size()
}

// ranksOfGroup is how many have the network together.
func (o Options) ranksOfGroup() int { return o.ranks() / max(1, o.Groups) }

// initBatches is InitBatches, 0 where it has no effect.
func (o Options) initBatches() int {
	if o.Init != InitGradient && o.Refresh == 0 {
		return 0
	}
	return o.InitBatches
}

// fuses reports whether layers can update their weights themselves, as the
// gradients come up: not where all gradients are wanted first.
func (o Options) fuses() bool { return o.Optimizer.fuses() && o.Clip == 0 }

// WeightCopies is how many numbers a run holds for every weight: the weight, its
// gradient unless the layer updates the weight as it comes up, and what the optimiser
// keeps. Of what Train leaves as it is there are fewer.
func (o Options) WeightCopies() int {
	n := 1 + o.Optimizer.States()
	if !o.fuses() || o.Train == TrainOffLocal || o.Train == TrainTied {
		n++
	}
	return n
}
