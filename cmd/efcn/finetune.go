package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"efcn/convert/record"
	"efcn/finetune"
	"efcn/finetune/data"
	"efcn/internal/atomicfile"
	"efcn/internal/kernel"
	"efcn/internal/version"
	"efcn/onnxio"
)

type finetuneFlags struct {
	trainFlags
	holdoutFlags
	deviceFlags
	output string
	what   string // --train. Default all.
	reinit bool   // Default false.
	json   bool

	init        oneOf // Default: V is as the model has it.
	initBatches int   // Default 10.
	refresh     int   // Default 0: never.

	maxBytes byteSize // Default 2 GiB.
	groups   int      // --data-parallel. Default 1.

	checkpoint string // Default none.
	saveEvery  string // --checkpoint-every. Default 1m.
	snapshots  string // --checkpoints. Default none.
	resume     bool   // Default false.
}

func (f *finetuneFlags) addFlags(flags *pflag.FlagSet) {
	f.trainFlags.addFlags(flags, finetune.Options{}.WithDefaults().Epochs)
	f.holdoutFlags.addFlags(flags)
	f.deviceFlags.addFlags(flags)
	addOutputFlag(flags, &f.output)
	flags.StringVar(&f.what, "train", finetune.TrainAll,
		"what is trained: all, local, off-local, tied or the name of a node with * and ?")
	f.maxBytes = record.DefaultMaxBytes
	flags.Var(&f.maxBytes, "max-bytes",
		"refuse to make layers dense where all weights would take more; under mpirun those of a rank")
	flags.IntVar(&f.groups, "data-parallel", 1,
		"under mpirun, groups of ranks that each have the network and take a share of every batch")
	flags.BoolVar(&f.reinit, "reinit", false, "start from new weights, as PyTorch initialises by default, from --seed")
	f.init = choice("", finetune.Inits()...)
	flags.Var(&f.init, "init", "choose V of factored layers before the first step")
	flags.IntVar(&f.initBatches, "init-batches", finetune.Options{}.WithDefaults().InitBatches,
		"batches that --init gradient and --refresh sum the gradient over")
	flags.IntVar(&f.refresh, "refresh", 0, "restart the subspace of factored layers every so many epochs (0: never)")
	flags.StringVar(&f.checkpoint, "checkpoint", "",
		"folder for the state of the run, saved after every epoch and at Ctrl-C, and its metrics")
	flags.StringVar(&f.saveEvery, "checkpoint-every", "1m",
		"save within epochs too: a time such as 30s, or a number of steps")
	flags.StringVar(&f.snapshots, "checkpoints", "",
		"keep the model in that folder too: log:N times in geometric progression, or every:N steps")
	flags.BoolVar(&f.resume, "resume", false, "go on with the run in the folder of --checkpoint")
	addJSONFlag(flags, &f.json)
}

func (f *finetuneFlags) validate() error {
	if err := cmp.Or(f.trainFlags.validate(), f.holdoutFlags.validate(), f.deviceFlags.validate()); err != nil {
		return err
	}
	switch {
	case f.output == "":
		return usagef("-o OUT.onnx is missing")
	case f.output == "-" && f.json:
		return oneOnStdout(f.output, f.json)
	case f.what == "":
		return usagef("--train is empty; want all, local, off-local, tied or the name of a node")
	case f.groups < 1:
		return usagef("--data-parallel %d; want a number of groups from 1", f.groups)
	case f.initBatches < 1:
		return usagef("--init-batches %d; want a number from 1", f.initBatches)
	case f.initBatches != finetune.Options{}.WithDefaults().InitBatches && f.refresh == 0 &&
		f.init.value != string(finetune.InitGradient):
		return usagef("--init-batches is for --init gradient and --refresh")
	case f.refresh < 0:
		return usagef("--refresh %d; want a number of epochs, or 0 for never", f.refresh)
	case f.resume && f.checkpoint == "":
		return usagef("--resume needs --checkpoint DIR, the folder of the run")
	case f.saveEvery != "1m" && f.checkpoint == "":
		return usagef("--checkpoint-every needs --checkpoint DIR, the folder to save in")
	case f.snapshots != "" && f.checkpoint == "":
		return usagef("--checkpoints needs --checkpoint DIR, the folder for them")
	}
	return validOptions(f.options())
}

// options are those of the flags.
func (f *finetuneFlags) options() (finetune.Options, error) {
	o, err := f.trainFlags.options()
	o.Holdout = f.holdoutFlags.options()
	o.Train, o.Checkpoint, o.Resume = f.what, f.checkpoint, f.resume
	o.Reinit, o.MaxBytes = f.reinit, int64(f.maxBytes)
	o.Init, o.InitBatches, o.Refresh = finetune.Init(f.init.value), f.initBatches, f.refresh
	if err == nil {
		if o.SaveEvery, err = finetune.ParseInterval(f.saveEvery); err != nil {
			err = fmt.Errorf("--checkpoint-every %w", err)
		}
	}
	if err == nil && f.snapshots != "" {
		o.Snapshots, err = finetune.ParseSnapshots(f.snapshots)
	}
	return o, err
}

func newFinetune(e *env) *cobra.Command {
	var f finetuneFlags
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

--augment flip mirrors half of the images, --augment crop:4 pads each by 4 black
pixels and cuts out the old size anywhere, anew in every epoch; what is drawn
follows from --seed, the epoch and the image. So do crop=random and flip of SPEC.

all and off-local need a layer of an eFCN in dense form: one that is local or
sparse is made dense first, within --max-bytes of weights. With local, tied and
NAME it is trained as it is: of a sparse matrix the stored entries, which stay
stored where they become 0. So are sparse matrices of a model that is no eFCN.
A factored layer trains as it is: all of it with all; with local and tied U and V
stay as they are. off-local makes it dense; --reinit does not take it.

--init chooses V of the factored layers anew before the first step, where U is still 0,
so that the function stays what it is: "gradient" takes the leading right singular
vectors of the gradient outside the support, summed over the first --init-batches
batches, "orthonormal" draws orthonormal rows. Both follow from --seed. Without it V is
as the model has it, drawn by efcn convert. U moves in the span of V at first, so that
a step is the dense step's projection on that; weight decay is of U alone.

--refresh N restarts the subspace every N epochs. Of U*V the leading half of its
singular values stays in the factors. The rest goes into the local weights where it
lies in the support and is cut elsewhere; metrics.jsonl has the norm of the cut. The
freed rows of V become the leading directions of the gradient as it is then.

--reinit starts from new weights: those of Conv, ConvTranspose, Gemm and MatMul and
their biases uniform between -1/sqrt(f) and 1/sqrt(f), f the inputs of an output, as
PyTorch initialises Conv2d, ConvTranspose2d and Linear by default; of a normalisation scale 1 and bias 0;
slopes of a PRelu are 0.25. An eFCN becomes the standard fully-connected network. With
--train local no layer may store entries outside its support.

With --checkpoint DIR the state of the run is saved there after every epoch,
within epochs as often as --checkpoint-every says, and at Ctrl-C, each time as a
whole new file. DIR/metrics.jsonl gets a line after every epoch: losses,
accuracies, norms of gradients (inside and outside the support too), distances
travelled, deviation from the CNN subspace per layer, seconds, peak memory; a file
of events beside it has the same for TensorBoard. DIR/about.json has the model, the
data, the command line, the settings, and what was measured before the first step.
--resume goes on with the run, or begins where there is none yet, and ends
bit-identical to a run that was not
stopped. It takes the same model, data, options and threads; --epochs may grow.
A folder that another process trains in is refused.
--checkpoints keeps the model itself, from step 0, as DIR/step-N.onnx.

--early-stop N ends the training once N epochs in a row have brought no smaller loss on
a share --holdout of the training images, which is not trained on; --save-best writes
the model of the epoch where it was least. Which images these are follows from --seed.
The test images choose nothing, so that --test stays an estimate. DIR gets held-out.jsonl
and best.onnx; without --checkpoint the best model takes the memory of its weights, and
ranks under mpirun refuse --save-best.

Under mpirun or srun the ranks train the model together: each holds and trains its rows
of the large layers, and computes the rest as all do. Rank 0 reports and writes every
file. On as many ranks and threads a run has the same bits again; between numbers of
ranks it differs by rounding, and --resume goes on with a run on any number.
--data-parallel N makes N groups of them: each has the whole network, cut over its
ranks, and takes a share of every batch. Gradients are summed over the groups, and a
BatchNormalization normalises by the whole batch, so that a step is that of one process
but for rounding. It is for CNNs, whose convolutions every rank of a group computes, and
where the values of a batch are what is large.

` + deviceHelp + `
Checkpoints go from the processor to a GPU and back; the run then ends as one that was
not stopped does within rounding, not bit for bit. V of factored layers (--init, --refresh)
is worked out on the processor. Groups of ranks with a GPU each do not train a
BatchNormalization.

` + dataHelp + `
After --data ...?normalize=auto, normalize=auto in --test takes the figures of
the training set.`,
		Args: args("MODEL"),
		RunE: onFile(e, f.validate, f.run),
	}
	f.addFlags(cmd.Flags())
	return cmd
}

// tuned is what finetune --json prints.
type tuned struct {
	Model  string    `json:"model"`
	Before *measured `json:"before,omitempty"` // on the test images
	Epochs []epoch   `json:"epochs"`
	// BestEpoch is the first with the least loss on the images held out, 0 without such.
	BestEpoch int      `json:"best_epoch,omitempty"`
	Output    *written `json:"output"`
}

type epoch struct {
	Epoch   int       `json:"epoch"`
	Steps   int       `json:"steps"`
	Seconds float64   `json:"seconds"`
	Loss    float64   `json:"train_loss"`
	Top1    float64   `json:"train_top1"`
	Test    *measured `json:"test,omitempty"`
	Held    *measured `json:"held_out,omitempty"`
}

func (f *finetuneFlags) run(ctx context.Context, e *env, path string) error {
	defer collectOften()()
	m, err := e.readModel(path)
	if err != nil {
		return err
	}
	o, err := f.options()
	if err != nil {
		return err
	}
	o.World, o.Groups = e.world, f.groups
	device, release, err := f.open(ctx, e)
	if err != nil {
		return err
	}
	defer release()
	o.Device = device
	if err := o.Validate(); err != nil { // what several ranks do not do, before data are read
		return inFile(path, err)
	}
	if e.first() {
		if err := keepFiles(f.output, m, true); err != nil {
			return err
		}
		// What would fail after an hour of training fails now.
		if f.output != "-" {
			if err := atomicfile.Check(f.output); err != nil {
				return err
			}
		}
	}
	train, test, err := data.OpenBoth(ctx, f.dataSpec(), f.testSpec())
	if err != nil {
		return err
	}
	e.noteSkipped("finetune", f.data, train)
	e.noteSkipped("finetune", f.test, test)
	if train.Mean != nil {
		e.logf("%s: normalised with mean %.4v, standard deviation %.4v", f.data, train.Mean, train.Std)
	}
	if device == nil {
		e.logf("matrix products by %s on %d threads", kernel.BLAS(), kernel.Threads())
	}
	if f.groups > 1 {
		e.logf("%d groups of %d ranks take a share of each batch", f.groups, e.world.Size()/f.groups)
	}

	result := tuned{Model: path}
	trained, err := f.train(ctx, e, m, train, test, o, &result)
	if err != nil {
		return inFile(path, err)
	}
	err = finetune.AtRoot(ctx, e.world, trained, func() (err error) {
		result.Output, err = e.writeModel(ctx, f.output, trained, onnxio.WriteOptions{})
		return err
	})
	if err != nil {
		return err
	}
	if f.json {
		return printJSON(e.out, result)
	}
	f.print(e.aside(f.output), &result)
	fmt.Fprintln(e.aside(f.output), result.Output)
	return nil
}

// kept says what is left of a run that is interrupted there, and what goes on with it,
// under a launcher where it had several ranks.
func (f *finetuneFlags) kept(at finetune.Step, e *env) string {
	args := e.args
	switch {
	case f.checkpoint == "":
		return "; nothing is kept (--checkpoint DIR keeps a run)"
	case !f.resume:
		args = append(slices.Clone(args), "--resume")
	}
	what := "is as it was"
	if at.Epoch > 0 {
		what = fmt.Sprintf("keeps the run up to here, epoch %d of %d", at.Epoch, f.epochs)
	}
	where := ""
	if e.world != nil {
		where = fmt.Sprintf(" under the same launcher, on %d ranks,", e.world.Size())
	}
	return fmt.Sprintf("; %s %s; go on%s with: %s", f.checkpoint, what, where, commandLine(args))
}

// train trains m, prints each epoch, and puts what it measured into result.
func (f *finetuneFlags) train(
	ctx context.Context, e *env, m *onnxio.Model, train, test *data.Set, o finetune.Options, result *tuned,
) (*onnxio.Model, error) {
	o.Notice = func(text string) { e.notef("efcn finetune: %s", text) }
	o.About = map[string]string{
		"program": "efcn " + version.String(), "command": commandLine(e.args),
		"model": result.Model, "data": f.dataSpec(), "test": f.testSpec(),
	}
	o.Collect = collectNow
	text := e.aside(f.output)
	o.Before = func(test finetune.Metrics) {
		result.Before = measure(test)
		if !f.json {
			fmt.Fprintf(text, "before: test %s\n", result.Before)
		}
	}
	bar := e.progress("finetune")
	var at finetune.Step
	e.kept = func() string { return f.kept(at, e) }
	o.Stepped = func(s finetune.Step) {
		at = s
		n := float64(s.Of)
		bar.show(stage{
			title: fmt.Sprintf("epoch %d of %d", s.Epoch, f.epochs), detail: "loss " + formatLoss(s.Loss),
			share: float64(s.Samples) / n, done: float64(s.Epoch-1)*n + float64(s.Samples), of: float64(f.epochs) * n,
		})
	}
	defer bar.clear()
	return finetune.Train(ctx, m, train, test, o, func(ep finetune.Epoch) error {
		bar.clear()
		line := epoch{Epoch: ep.Epoch, Steps: ep.Steps, Seconds: ep.Seconds, Loss: ep.Train.Loss, Top1: ep.Train.Top1}
		if ep.Test != nil {
			line.Test = measure(*ep.Test)
		}
		if ep.Held != nil {
			line.Held = measure(*ep.Held)
		}
		result.BestEpoch = ep.BestEpoch
		result.Epochs = append(result.Epochs, line)
		if f.json {
			return nil
		}
		fmt.Fprintf(text, "epoch %d of %d: train loss %s, top-1 %.2f %%, %.1f s", ep.Epoch, ep.Of, formatLoss(line.Loss),
			100*line.Top1, line.Seconds)
		if line.Test != nil {
			fmt.Fprintf(text, "; test %s", line.Test)
		}
		if line.Held != nil {
			fmt.Fprintf(text, "; held out %s", line.Held)
		}
		fmt.Fprintln(text)
		return nil
	})
}
