package main

import (
	"cmp"
	"context"
	"errors"
	"io"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"efcn"
	"efcn/convert/verify"
	"efcn/internal/arrays"
	"efcn/internal/atomicfile"
	"efcn/internal/engine"
	"efcn/onnxio"
)

type verifyFlags struct {
	samples     int    // Default 64.
	seed        uint64 // Default 0.
	inputs      string
	rtol, atol  float64 // Default 0 and 0: the derived bounds alone decide.
	skip        []string
	engines     []string
	library     string // of ONNX Runtime
	saveOutputs string
	saveInputs  string
	maxMemory   byteSize // Default 4 GiB.
	shapes      inputShapes
	batch       batchAxes // Default those that the eFCN was converted with.
	json        bool
}

func (f *verifyFlags) addFlags(flags *pflag.FlagSet) {
	flags.IntVar(&f.samples, "samples", 64, "random inputs to run both models on")
	flags.Uint64Var(&f.seed, "seed", 0, "seed of the random inputs")
	flags.StringVar(&f.inputs, "inputs", "", "run these too: X.npz, X.npy or a folder of ONNX test data")
	flags.Float64Var(&f.rtol, "rtol", 0, "relative tolerance that the outputs have to meet as well")
	flags.Float64Var(&f.atol, "atol", 0, "absolute tolerance that the outputs have to meet as well")
	flags.StringSliceVar(&f.skip, "skip", nil, "checks to leave out: structure, float64, float32")
	flags.StringSliceVar(&f.engines, "engine", nil,
		"compare the outputs in these engines too: onnxruntime, onnx-go, or A:B for CNN in A and EFCN in B")
	addLibraryFlag(flags, &f.library)
	flags.StringVar(&f.saveOutputs, "save-outputs", "", "write the inputs and both models' outputs to this .npz file")
	flags.StringVar(&f.saveInputs, "save-inputs", "",
		"write the samples that show a fault to this .npz file, for run --inputs and verify --inputs")
	f.maxMemory = verify.DefaultMaxMemory
	flags.Var(&f.maxMemory, "max-memory", "run fewer samples at once, or skip a check, rather than take more than this")
	addShapeFlags(flags, &f.shapes, &f.batch)
	addJSONFlag(flags, &f.json)
}

func newVerify(e *env) *cobra.Command {
	var f verifyFlags
	cmd := &cobra.Command{
		Use:   "verify CNN EFCN",
		Short: "Prove that an eFCN computes what its CNN computes",
		Long: `verify compares every stored entry of the eFCN with what the CNN's kernels say,
runs both models in double and in single precision, layer by layer, and holds
the differences against derived rounding bounds. It exits with 0 if the models
are equal and with 1, naming the first place where they part, if they are not.
Any two models can be compared whose inputs and outputs agree in number, types
and shapes, by name or else by order; of two that are not a CNN and its eFCN the
structure is not.

--engine runs both files in other engines besides: of the embedded one and
those that are named, the outputs of CNN in each are compared with those of EFCN
in each, within the bound that the outputs have in float32. It holds for engines
that add and multiply in float32, in whatever order; where a model does more
than that, only --rtol and --atol judge. onnxruntime:onnx-go compares CNN in the
first with EFCN in the second alone. An engine that cannot run a model says why.

A node that the embedded engine does not have (LSTM, QLinearConv, a node of
com.microsoft or ai.onnx.ml) runs in ONNX Runtime, where that is found or named by
--ort-lib, and the rest in the embedded engine, layer by layer as ever. The report
says which nodes those are.`,
		Args: args("CNN", "EFCN"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.validate(args[0], args[1]); err != nil {
				return err
			}
			return f.run(cmd.Context(), e, args[0], args[1])
		},
	}
	f.addFlags(cmd.Flags())
	return cmd
}

func (f *verifyFlags) validate(cnnPath, efcnPath string) error {
	if f.samples < 0 {
		return usagef("--samples %d; want a number from 0", f.samples)
	}
	if f.saveOutputs != "" && slices.Contains(f.skip, verify.Float32) {
		return usagef("--save-outputs saves what the float32 check runs; do not skip that")
	}
	if err := cmp.Or(wantArchive("--save-outputs", f.saveOutputs),
		wantArchive("--save-inputs", f.saveInputs)); err != nil {
		return err
	}
	if cnnPath == "-" && efcnPath == "-" {
		return usagef("only one of the models can be read from stdin")
	}
	return nil
}

func (f *verifyFlags) options() verify.Options {
	o := verify.Options{
		Samples: f.samples, Seed: f.seed, RTol: f.rtol, ATol: f.atol, Skip: f.skip, MaxMemory: int64(f.maxMemory),
		InputShapes: f.shapes, BatchAxes: f.batch, Engines: f.engines, Open: efcn.Engines{Library: f.library}.Open,
	}
	if f.samples == 0 {
		o.Samples = -1 // none
	}
	return o
}

func (f *verifyFlags) run(ctx context.Context, e *env, cnnPath, efcnPath string) error {
	cnn, other, err := e.readTwo(cnnPath, efcnPath)
	if err != nil {
		return err
	}
	if len(engine.Lacks(cnn))+len(engine.Lacks(other)) == 0 { // else the library is for those
		if err := checkLibraryFlag(f.library, f.engines); err != nil {
			return err
		}
	}
	o := f.options()
	if err := o.Validate(); err != nil && f.inputs == "" {
		return usageError{err}
	}
	if f.inputs != "" {
		given, err := arrays.Load(f.inputs)
		if err != nil {
			return err
		}
		if o.Inputs, err = arrays.Match(cnn.Graph, given.Inputs); err != nil {
			return inFile(f.inputs, err)
		}
	}
	var ran arrays.Batches
	if f.saveOutputs != "" {
		o.Ran = func(inputs, cnn, efcn []*onnxio.Tensor) error {
			return errors.Join(ran.Append("inputs/", inputs), ran.Append("cnn/", cnn), ran.Append("efcn/", efcn))
		}
	}
	bar := e.progress("verify")
	o.Progress = bar.at
	report, err := verify.Verify(ctx, cnn, other, o)
	bar.clear()
	if err != nil {
		return err
	}
	if err := f.save(ran.Tensors(), report); err != nil {
		return err
	}
	if f.json {
		err = printJSON(e.out, report)
	} else {
		err = report.WriteText(e.out)
	}
	if err == nil && !report.Equal() {
		err = errNo
	}
	return err
}

// save writes the arrays that were asked for: what ran, and the samples that fail.
func (f *verifyFlags) save(ran []*onnxio.Tensor, report *verify.Report) error {
	if f.saveOutputs != "" {
		if err := saveNPZ(f.saveOutputs, ran); err != nil {
			return err
		}
	}
	if f.saveInputs == "" || report.FailingInputs == nil {
		return nil
	}
	return saveNPZ(f.saveInputs, report.FailingInputs)
}

func saveNPZ(path string, all []*onnxio.Tensor) error {
	return atomicfile.Write(path, func(w io.Writer) error { return arrays.WriteNPZ(w, all) })
}
