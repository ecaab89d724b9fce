package main

import (
	"fmt"
	"math"

	"github.com/spf13/pflag"

	"efcn/finetune"
	"efcn/finetune/data"
)

// trainFlags are the flags of every command that trains: the images and how
// weights follow their gradients.
type trainFlags struct {
	data    string
	test    string
	limit   int    // Default 0: all.
	augment string // Default none.
	skipBad skipBad
	epochs  int
	batch   int     // Default 250.
	rate    float64 // Default 0.1.
	seed    uint64  // Default 0.

	optimizer   oneOf   // Default sgd.
	momentum    float64 // Default 0.
	nesterov    bool    // Default false.
	weightDecay float64 // Default 0.
	lassoLambda float64 // No default: beta-lasso needs it.
	lassoBeta   float64 // Default 50.
	schedule    string  // Default constant.
	warmup      float64 // Default 0.
	clip        float64 // Default 0: no bound.
}

func (f *trainFlags) addFlags(flags *pflag.FlagSet, epochs int) {
	defaults := finetune.Options{}.WithDefaults()
	f.optimizer = choice(finetune.SGD, finetune.Methods()...)
	flags.StringVar(&f.data, "data", "", "labelled images to train on")
	flags.StringVar(&f.test, "test", "", "labelled images to measure on, before and after every epoch")
	flags.IntVar(&f.limit, "limit", 0, "train on the first so many images (0: all), as limit=N in --data")
	flags.StringVar(&f.augment, "augment", "",
		"change the images at random in every epoch: flip, crop:PIXELS or both with a comma")
	f.skipBad.addFlags(flags)
	flags.IntVar(&f.epochs, "epochs", epochs, "passes over the training images")
	flags.IntVar(&f.batch, "batch", defaults.Batch, "images a step")
	flags.Float64Var(&f.rate, "lr", defaults.Rate, "learning rate")
	flags.Var(&f.optimizer, "optimizer", "how weights follow their gradients")
	flags.Float64Var(&f.momentum, "momentum", 0, "momentum of sgd, from 0 to below 1")
	flags.BoolVar(&f.nesterov, "nesterov", false, "Nesterov's momentum")
	flags.Float64Var(&f.weightDecay, "weight-decay", 0, "weight decay of sgd, adam and adamw")
	flags.Float64Var(&f.lassoLambda, "lasso-lambda", 0, "lambda of beta-lasso: what pulls weights to 0")
	flags.Float64Var(&f.lassoBeta, "lasso-beta", 50, "beta of beta-lasso: weights below beta*lambda become 0")
	flags.StringVar(&f.schedule, "lr-schedule", "constant",
		"constant, step:EPOCHS[,FACTOR] (factor 0.1) or cosine[:FLOOR] (floor 0, a share of --lr)")
	flags.Float64Var(&f.warmup, "warmup", 0, "epochs over which the learning rate rises to its height")
	flags.Float64Var(&f.clip, "clip", 0, "greatest norm of all gradients together (0: any)")
	flags.Uint64Var(&f.seed, "seed", 0, "seed of the order of the images, and of what --augment does")
}

func (f *trainFlags) validate() error {
	switch {
	case f.data == "":
		return usagef("--data is missing")
	case f.limit < 0:
		return usagef("--limit %d; want a number from 1, or 0 for all", f.limit)
	case f.epochs < 1:
		return usagef("--epochs %d; want a number from 1", f.epochs)
	case f.batch < 1:
		return usagef("--batch %d; want a number from 1", f.batch)
	case !(f.rate > 0) || math.IsInf(f.rate, 0):
		return usagef("--lr %v; want a number above 0", f.rate)
	case f.schedule == "":
		return usagef("--lr-schedule is empty")
	}
	return nil
}

// options are those of the flags.
func (f *trainFlags) options() (finetune.Options, error) {
	schedule, err := finetune.ParseSchedule(f.schedule)
	schedule.Warmup = f.warmup
	o := finetune.Options{
		Epochs: f.epochs, Batch: f.batch, Rate: f.rate, Seed: f.seed, Schedule: schedule, Clip: f.clip,
		Optimizer: finetune.Optimizer{
			Method: finetune.Method(f.optimizer.value), Momentum: f.momentum, Nesterov: f.nesterov,
			WeightDecay: f.weightDecay, Lambda: f.lassoLambda,
		},
	}
	if o.Optimizer.Method == finetune.BetaLasso || f.lassoBeta != 50 {
		o.Optimizer.Beta = f.lassoBeta
	}
	if err == nil && f.augment != "" {
		o.Augment, err = data.ParseAugment(f.augment)
	}
	return o, err
}

// dataSpec is --data with --limit and --skip-bad among its options.
func (f *trainFlags) dataSpec() string {
	spec := f.skipBad.in(f.data)
	if f.limit == 0 {
		return spec
	}
	return withOption(spec, fmt.Sprintf("limit=%d", f.limit))
}

// testSpec is --test with --skip-bad among its options.
func (f *trainFlags) testSpec() string { return f.skipBad.in(f.test) }
