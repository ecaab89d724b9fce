package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"efcn/finetune"
	"efcn/finetune/data"
	"efcn/internal/kernel"
	"efcn/onnxio"
)

type finetuneFlags struct {
	data   string
	test   string
	output string
	epochs int     // Default 10.
	batch  int     // Default 250.
	rate   float64 // Default 0.1.
	seed   uint64  // Default 0.
	json   bool

	what        string  // --train. Default all.
	optimizer   oneOf   // Default sgd.
	momentum    float64 // Default 0.
	nesterov    bool    // Default false.
	weightDecay float64 // Default 0.
	lassoLambda float64 // No default: beta-lasso needs it.
	lassoBeta   float64 // Default 50.
	schedule    string  // Default constant.
	warmup      float64 // Default 0.
	clip        float64 // Default 0: no bound.

	checkpoint string // Default none.
	snapshots  string // --checkpoints. Default none.
	resume     bool   // Default false.
}

func (f *finetuneFlags) addFlags(flags *pflag.FlagSet) {
	defaults := finetune.Options{}.WithDefaults()
	flags.StringVar(&f.data, "data", "", "labelled images to train on")
	flags.StringVar(&f.test, "test", "", "labelled images to measure on, before and after every epoch")
	flags.StringVarP(&f.output, "output", "o", "", "file to write")
	flags.IntVar(&f.epochs, "epochs", defaults.Epochs, "passes over the training images")
	flags.IntVar(&f.batch, "batch", defaults.Batch, "images a step")
	flags.Float64Var(&f.rate, "lr", defaults.Rate, "learning rate")
	flags.StringVar(&f.what, "train", finetune.TrainAll, "what is trained: all, local, off-local, tied or the name of a node with * and ?")
	flags.Var(&f.optimizer, "optimizer", "how weights follow their gradients")
	flags.Float64Var(&f.momentum, "momentum", 0, "momentum of sgd, from 0 to below 1")
	flags.BoolVar(&f.nesterov, "nesterov", false, "Nesterov's momentum")
	flags.Float64Var(&f.weightDecay, "weight-decay", 0, "weight decay of sgd, adam and adamw")
	flags.Float64Var(&f.lassoLambda, "lasso-lambda", 0, "lambda of beta-lasso: what pulls weights to 0")
	flags.Float64Var(&f.lassoBeta, "lasso-beta", 50, "beta of beta-lasso: weights below beta*lambda become 0")
	flags.StringVar(&f.schedule, "lr-schedule", "constant", "constant, step:EPOCHS[,FACTOR] (factor 0.1) or cosine[:FLOOR] (floor 0, a share of --lr)")
	flags.Float64Var(&f.warmup, "warmup", 0, "epochs over which the learning rate rises to its height")
	flags.Float64Var(&f.clip, "clip", 0, "greatest norm of all gradients together (0: any)")
	flags.StringVar(&f.checkpoint, "checkpoint", "", "folder for the state of the run, saved after every epoch and at Ctrl-C, and its metrics")
	flags.StringVar(&f.snapshots, "checkpoints", "", "keep the model in that folder too: log:N times in geometric progression, or every:N steps")
	flags.BoolVar(&f.resume, "resume", false, "go on with the run in the folder of --checkpoint")
	flags.Uint64Var(&f.seed, "seed", 0, "seed of the order of the images")
	flags.BoolVar(&f.json, "json", false, "print one JSON document")
}

func (f *finetuneFlags) validate() error {
	switch {
	case f.data == "":
		return usagef("--data is missing")
	case f.output == "":
		return usagef("-o OUT.onnx is missing")
	case f.epochs < 1:
		return usagef("--epochs %d; want a number from 1", f.epochs)
	case f.batch < 1:
		return usagef("--batch %d; want a number from 1", f.batch)
	case !(f.rate > 0) || math.IsInf(f.rate, 0):
		return usagef("--lr %v; want a number above 0", f.rate)
	case f.what == "":
		return usagef("--train is empty; want all, local, off-local, tied or the name of a node")
	case f.resume && f.checkpoint == "":
		return usagef("--resume needs --checkpoint DIR, the folder of the run")
	case f.snapshots != "" && f.checkpoint == "":
		return usagef("--checkpoints needs --checkpoint DIR, the folder for them")
	case f.schedule == "":
		return usagef("--lr-schedule is empty")
	}
	o, err := f.options()
	if err == nil {
		err = o.Validate()
	}
	if err != nil {
		return usageError{err}
	}
	return nil
}

// options are those of the flags.
func (f *finetuneFlags) options() (finetune.Options, error) {
	schedule, err := finetune.ParseSchedule(f.schedule)
	schedule.Warmup = f.warmup
	o := finetune.Options{
		Epochs: f.epochs, Batch: f.batch, Rate: f.rate, Seed: f.seed, Train: f.what, Checkpoint: f.checkpoint, Resume: f.resume, Schedule: schedule, Clip: f.clip,
		Optimizer: finetune.Optimizer{
			Method: finetune.Method(f.optimizer.value), Momentum: f.momentum, Nesterov: f.nesterov,
			WeightDecay: f.weightDecay, Lambda: f.lassoLambda,
		},
	}
	if err == nil && f.snapshots != "" {
		o.Snapshots, err = finetune.ParseSnapshots(f.snapshots)
	}
	if o.Optimizer.Method == finetune.BetaLasso || f.lassoBeta != 50 {
		o.Optimizer.Beta = f.lassoBeta
	}
	return o, err
}

func newFinetune(e *env) *cobra.Command {
	f := finetuneFlags{optimizer: newOptimizer()}
	cmd := &cobra.Command{
		Use:   "finetune MODEL --data SPEC -o OUT.onnx",
		Short: "Train a CNN or an eFCN and write it back to ONNX",
		Long: `finetune trains the weights of a model, CNN or eFCN alike, on labelled images by the
softmax cross-entropy, and writes the same graph with the trained weights. The
defaults are those of the eFCN paper (arXiv 1906.06766): plain SGD. beta-lasso
is Neyshabur's (arXiv 2007.13657), the other optimisers are PyTorch's.

--train says what of an eFCN is trained; the rest keeps its bits:
  all         everything
  local       the support of embedded layers, and what is not embedded
  off-local   what lies outside the support, and nothing else
  tied        everything, along the CNN subspace: tied weights move together,
              a vector over all positions that is no bias stays as it is
  NAME        the nodes of that name alone, with * for any characters and ? for
              one; a BatchNormalization that is not among them normalises by its
              running statistics

With --checkpoint DIR the state of the run is saved there after every epoch and
at Ctrl-C, each time as a whole new file, and DIR/metrics.jsonl gets a line after
every epoch: losses, accuracies, gradient norms, deviation from the CNN subspace
per layer, seconds, peak memory. --resume goes on with it, or begins
where there is none yet, and ends bit-identical to a run that was not stopped.
It takes the same model, data, options and threads; --epochs may grow.
--checkpoints keeps the model itself as DIR/step-N.onnx.

` + dataHelp + `
After --data ...?normalize=auto, normalize=auto in --test takes the figures of
the training set.`,
		Args: args("MODEL"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.validate(); err != nil {
				return err
			}
			return f.run(cmd.Context(), e, args[0])
		},
	}
	f.addFlags(cmd.Flags())
	return cmd
}

// tuned is what finetune --json prints.
type tuned struct {
	Model  string    `json:"model"`
	Before *measured `json:"before,omitempty"` // on the test images
	Epochs []epoch   `json:"epochs"`
	Output *written  `json:"output"`
}

type epoch struct {
	Epoch   int       `json:"epoch"`
	Steps   int       `json:"steps"`
	Seconds float64   `json:"seconds"`
	Loss    float64   `json:"train_loss"`
	Top1    float64   `json:"train_top1"`
	Test    *measured `json:"test,omitempty"`
}

func (f *finetuneFlags) run(ctx context.Context, e *env, path string) error {
	m, err := e.readModel(path)
	if err != nil {
		return err
	}
	// What would fail after an hour of training fails now.
	if err := canWrite(f.output); err != nil {
		return err
	}
	train, test, err := openData(f.data, f.test)
	if err != nil {
		return err
	}
	if train.Mean != nil {
		e.logf("%s: normalised with mean %.4v, standard deviation %.4v", f.data, train.Mean, train.Std)
	}
	e.logf("matrix products by %s on %d threads", kernel.BLAS(), kernel.Threads())

	result := tuned{Model: path}
	trained, err := f.train(ctx, e, m, train, test, &result)
	if err != nil {
		return inFile(path, err)
	}
	if result.Output, err = e.writeModel(ctx, f.output, trained, string(onnxio.ExternalAuto)); err != nil {
		return err
	}
	if f.json {
		return printJSON(e.out, result)
	}
	fmt.Fprintln(e.out, result.Output)
	return nil
}

func newOptimizer() oneOf {
	f := oneOf{value: string(finetune.SGD)}
	for _, m := range finetune.Methods() {
		f.allowed = append(f.allowed, string(m))
	}
	return f
}

// openData opens the training set and, unless its spec is empty, the test set.
func openData(trainSpec, testSpec string) (train, test *data.Set, err error) {
	if train, err = data.Open(trainSpec); err != nil || testSpec == "" {
		return train, nil, err
	}
	test, err = data.OpenTest(testSpec, train)
	return train, test, err
}

// train trains m, saying how it goes, and notes in result what came of it.
func (f *finetuneFlags) train(ctx context.Context, e *env, m *onnxio.Model, train, test *data.Set, result *tuned) (*onnxio.Model, error) {
	if test != nil {
		metrics, err := finetune.Evaluate(ctx, m, test, f.batch)
		if err != nil {
			return nil, err
		}
		result.Before = measure(metrics)
		if !f.json {
			fmt.Fprintf(e.out, "before: test %s\n", result.Before)
		}
	}
	o, err := f.options()
	if err != nil {
		return nil, err
	}
	bar := e.progress()
	o.Stepped = func(epoch, samples int) { bar.at(fmt.Sprintf("epoch %d of %d", epoch, f.epochs), samples, train.N()) }
	defer bar.clear()
	return finetune.Train(ctx, m, train, test, o, func(ep finetune.Epoch) error {
		bar.clear()
		line := epoch{Epoch: ep.Epoch, Steps: ep.Steps, Seconds: ep.Seconds, Loss: ep.Train.Loss, Top1: ep.Train.Top1}
		if ep.Test != nil {
			line.Test = measure(*ep.Test)
		}
		result.Epochs = append(result.Epochs, line)
		if f.json {
			return nil
		}
		fmt.Fprintf(e.out, "epoch %d of %d: train loss %.4f, top-1 %.2f %%, %.1f s", ep.Epoch, ep.Of, line.Loss, 100*line.Top1, line.Seconds)
		if line.Test != nil {
			fmt.Fprintf(e.out, "; test %s", line.Test)
		}
		fmt.Fprintln(e.out)
		return nil
	})
}

// canWrite says whether a file could be made at path, by making one beside it.
func canWrite(path string) error {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("%s: not a regular file; a model can't replace it", path)
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*.tmp")
	if err != nil {
		return fmt.Errorf("%s: cannot be written: %w", path, reason(err))
	}
	f.Close()
	return os.Remove(f.Name())
}
