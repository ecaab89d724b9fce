package main

import (
	"cmp"
	"context"
	"fmt"
	"math"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"efcn/convert/verify"
	"efcn/finetune"
	"efcn/finetune/data"
	"efcn/internal/cuda"
	"efcn/internal/engines"
	"efcn/onnxio"
)

type evalFlags struct {
	data   string
	skip   skipBad
	batch  int // Default 250.
	engine engineFlags
	device deviceFlags
	json   bool
}

func (f *evalFlags) addFlags(flags *pflag.FlagSet) {
	flags.StringVar(&f.data, "data", "", "labelled images to measure on")
	f.skip.addFlags(flags)
	flags.IntVar(&f.batch, "batch", 250, "images to run at once")
	f.engine.addFlags(flags)
	f.device.addFlags(flags)
	addJSONFlag(flags, &f.json)
}

func (f *evalFlags) validate() error {
	if f.data == "" {
		return usagef("--data is missing")
	}
	if f.batch < 1 {
		return usagef("--batch %d; want a number from 1", f.batch)
	}
	if f.device.device != "cpu" && f.engine.engine.value != engines.Embedded {
		return usagef("--engine %s computes where it likes; --device is for --engine %s", f.engine.engine.value,
			engines.Embedded)
	}
	return cmp.Or(f.engine.validate(), f.device.validate())
}

func newEval(e *env) *cobra.Command {
	var f evalFlags
	cmd := &cobra.Command{
		Use:   "eval MODEL --data SPEC",
		Short: "Measure a model's loss and accuracy",
		Long: `eval runs a classifier on labelled images and prints its loss (softmax
cross-entropy) and how often the right class is first, or among the first five.

` + ranksHelp + `
` + deviceHelp + `

` + dataHelp,
		Args: args("MODEL"),
		RunE: onFile(e, f.validate, f.run),
	}
	f.addFlags(cmd.Flags())
	return cmd
}

func (f *evalFlags) run(ctx context.Context, e *env, path string) error {
	m, err := e.readModel(path)
	if err != nil {
		return err
	}
	set, err := data.OpenTest(ctx, f.skip.in(f.data), nil)
	if err != nil {
		return err
	}
	e.noteSkipped("eval", f.data, set)
	bar := e.progress("eval")
	device, release, err := f.device.open(ctx, e)
	if err != nil {
		return err
	}
	defer release()
	open := func(ctx context.Context, m *onnxio.Model) (finetune.Session, error) {
		s, err := f.open(ctx, e, device, m)
		if err != nil {
			return nil, err
		}
		return &watched{s, bar, 0, (set.N() + f.batch - 1) / f.batch}, nil
	}
	metrics, err := finetune.EvaluateIn(ctx, open, m, set, f.batch)
	bar.clear()
	if err != nil {
		return inFile(path, err)
	}
	figures := onnxio.NewTensor("metrics", []int64{3}, []float64{metrics.Loss, metrics.Top1, metrics.Top5})
	if err := e.alike(ctx, []*onnxio.Tensor{figures}); err != nil {
		return inFile(path, err)
	}
	result := measure(metrics)
	if f.json {
		engine := f.engine.engine.value
		if device != nil {
			engine = "cuBLAS on " + device.Kind()
		}
		return printJSON(e.out, evaluated{path, f.data, engine, result})
	}
	fmt.Fprintf(e.out, "%s: %s\n", path, result)
	return nil
}

// open makes a model ready in the engine that was chosen, or on a device.
func (f *evalFlags) open(ctx context.Context, e *env, d *cuda.Device, m *onnxio.Model) (finetune.Session, error) {
	if d != nil {
		return finetune.OnDevice(d, e.world, f.batch)(ctx, m)
	}
	s, err := f.engine.open(ctx, e, m, false)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// evaluated is what eval --json prints.
type evaluated struct {
	Model  string `json:"model"`
	Data   string `json:"data"`
	Engine string `json:"engine"`
	*measured
}

// watched is a session whose runs are shown as progress.
type watched struct {
	finetune.Session
	bar       *progress
	ran, runs int
}

func (w *watched) Run(ctx context.Context, inputs []*onnxio.Tensor) ([]*onnxio.Tensor, error) {
	w.bar.at("batches", w.ran, w.runs)
	w.ran++
	return w.Session.Run(ctx, inputs)
}

// dataHelp describes what --data and --test take.
const dataHelp = `SPEC names images: idx:IMAGES,LABELS (MNIST, Fashion-MNIST; gzipped or not),
npz:FILE (arrays x and y), cifar10:DIR, cifar100:DIR (the binary version, or the
Python one that torchvision downloads, which is read and not executed), folder:DIR
(a folder of PNG or JPEG for each class) or parquet:FILE-OR-DIR (as Hugging Face
stores images; image=COLUMN and label=COLUMN where there are more than one).
Options follow a question mark, separated by &: normalize=MEAN/STD of pixels
between 0 and 1 (with commas, one per channel), normalize=imagenet, normalize=auto
or normalize=none (default); limit=N; shift=N (each image moved once by a random
offset of up to N pixels either way, from shift-seed=S and its index); resize=HxW,
or resize=N for the shorter side; crop=centre:N; for training crop=random:N
(another part of each image in every epoch, resized) and flip (half of them
mirrored); layout=nchw (default) or nhwc; of folders and Parquet channels=3 (grey
images in colour) and skip-bad; memory=BYTES (a set of more pixels is streamed:
4GB); of CIFAR and Parquet split=train (default of --data in training) or test
(default elsewhere), of CIFAR-100 labels=fine (default) or coarse. A test set has
to be normalised with the figures of the training set. More: go doc
efcn/finetune/data.Open`

// measured is what was measured of a model, as it is printed.
type measured struct {
	Samples int           `json:"samples"`
	Loss    verify.Figure `json:"loss"`
	Correct int           `json:"correct"`
	Top1    float64       `json:"top1"`
	Top5    float64       `json:"top5"`
}

func measure(m finetune.Metrics) *measured {
	return &measured{
		Samples: m.N, Loss: verify.Figure(m.Loss), Correct: int(math.Round(m.Top1 * float64(m.N))),
		Top1: m.Top1, Top5: m.Top5,
	}
}

func (m *measured) String() string {
	return fmt.Sprintf("loss %s, %d of %d right (top-1 %.2f %%, top-5 %.2f %%)", formatLoss(float64(m.Loss)), m.Correct,
		m.Samples, 100*m.Top1, 100*m.Top5)
}
