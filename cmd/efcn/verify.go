package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
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
	as          oneOf   // Default "": in the types of both models.
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

// judgedTypes are the types that --as names.
var judgedTypes = []onnxio.DataType{onnxio.Float16, onnxio.BFloat16, onnxio.Int8}

func (f *verifyFlags) addFlags(flags *pflag.FlagSet) {
	flags.IntVar(&f.samples, "samples", 64, "random inputs to run both models on")
	flags.Uint64Var(&f.seed, "seed", 0, "seed of the random inputs")
	flags.StringVar(&f.inputs, "inputs", "", "run these too: X.npz, X.npy or a folder of ONNX test data")
	flags.Float64Var(&f.rtol, "rtol", 0, "relative tolerance that the outputs have to meet as well")
	flags.Float64Var(&f.atol, "atol", 0, "absolute tolerance that the outputs have to meet as well")
	for _, t := range judgedTypes {
		f.as.allowed = append(f.as.allowed, t.String())
	}
	flags.Var(&f.as, "as",
		"judge EFCN by the rounding of the type that it stores its numbers in: float16, bfloat16 or int8")
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
		Use:   "verify CNN EFCN...",
		Short: "Prove that an eFCN computes what its CNN computes",
		Long: `verify compares every stored entry of the eFCN with what the CNN's kernels say,
runs both models in double and in single precision, layer by layer, and holds
the differences against derived rounding bounds. The report begins with the verdict
in a sentence. It exits with 0 if the models are equal and with 1, naming the first
place where they part, if they are not. Of several EFCN each is compared with CNN; a
table has a row for each, and the exit code is 1 if one of them is not equal.

The samples are random, at many scales, to reach what a fault could hide behind; real
data may be like none of them. To judge on your own: --samples 0 --inputs X.npz.

With --rtol or --atol the outputs have to meet that tolerance. Of a CNN and the eFCN
that was made from it the derived bounds have to hold as well. Of any other two models
the tolerance alone decides, and the verdict says whether they are equal beyond
rounding, too.

--as float16 (or bfloat16) judges what was made of CNN in that type: each parameter, and
the result of each node, may be rounded to it once, which the bounds allow for. What EFCN
has in that type is rounded after each node; sums are taken in single and in double
precision, as most engines take them. A result beyond the largest number of the type is
infinite, and its node is named. There is no structure check, and no sample is large.

--as int8 judges what a quantizer made of CNN, in QDQ format (QuantizeLinear and
DequantizeLinear around each operator). Each integer has to stand for the number of CNN
that is nearest, each node has to compute what CNN's does, and each quantizer the number
nearest to what it is given. What lies outside its range is cut off by a known amount:
that is no fault, but the report has for every value how many numbers do, and warns of
more than one in a thousand of your own samples. CNN is the model that was quantized,
after any preprocessing; only its BatchNormalizations may have been folded since, all
that are behind a linear node. To judge on your own data alone: --samples 0 --inputs X.npz.

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
says which nodes those are.

Under mpirun or srun each rank compares the entries of some of the layers; rank 0 alone
runs the models, and reports.`,
		Args: func(cmd *cobra.Command, given []string) error {
			return args("CNN", "EFCN")(cmd, given[:min(len(given), 2)])
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.validate(args[0], args[1:]); err != nil {
				return err
			}
			return f.run(cmd.Context(), e, args[0], args[1:])
		},
	}
	f.addFlags(cmd.Flags())
	return cmd
}

func (f *verifyFlags) validate(cnnPath string, candidates []string) error {
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
	stdin := 0
	for _, path := range append([]string{cnnPath}, candidates...) {
		if path == "-" {
			stdin++
		}
	}
	switch {
	case stdin > 1:
		return usagef("only one of the models can be read from stdin")
	case len(candidates) > 1 && f.saveOutputs != "":
		return usagef("--save-outputs is of one EFCN; %d are given", len(candidates))
	case len(candidates) > 1 && f.saveInputs != "":
		return usagef("--save-inputs is of one EFCN; %d are given", len(candidates))
	}
	return nil
}

// asType is the type that --as names.
func (f *verifyFlags) asType() onnxio.DataType {
	for _, t := range judgedTypes {
		if f.as.value == t.String() {
			return t
		}
	}
	return onnxio.Undefined
}

func (f *verifyFlags) options() verify.Options {
	o := verify.Options{
		Samples: f.samples, Seed: f.seed, RTol: f.rtol, ATol: f.atol, As: f.asType(), Skip: f.skip,
		MaxMemory:   int64(f.maxMemory),
		InputShapes: f.shapes, BatchAxes: f.batch, Engines: f.engines, Open: efcn.Engines{Library: f.library}.Open,
	}
	if f.samples == 0 {
		o.Samples = -1 // none
	}
	return o
}

func (f *verifyFlags) run(ctx context.Context, e *env, cnnPath string, candidates []string) error {
	cnn, err := e.readModel(cnnPath)
	if err != nil {
		return err
	}
	reports := make([]*verify.Report, len(candidates))
	for i, path := range candidates {
		if reports[i], err = f.compare(ctx, e, cnn, path); err != nil {
			return err
		}
	}
	return f.print(e, cnnPath, candidates, reports)
}

// compare compares the CNN with the model in a file, and saves the arrays that were
// asked for.
func (f *verifyFlags) compare(ctx context.Context, e *env, cnn *onnxio.Model, path string) (*verify.Report, error) {
	other, err := e.readModel(path)
	if err != nil {
		return nil, err
	}
	if len(engine.Lacks(cnn))+len(engine.Lacks(other)) == 0 { // else the library is for those
		if err := checkLibraryFlag(f.library, f.engines); err != nil {
			return nil, err
		}
	}
	o := f.options()
	if err := o.Validate(); err != nil && f.inputs == "" {
		return nil, usageError{err}
	}
	if f.inputs != "" {
		given, err := arrays.Load(f.inputs)
		if err != nil {
			return nil, err
		}
		if o.Inputs, err = arrays.Match(cnn.Graph, given.Inputs); err != nil {
			return nil, inFile(f.inputs, err)
		}
	}
	var ran arrays.Batches
	if f.saveOutputs != "" {
		o.Ran = func(inputs, cnn, efcn []*onnxio.Tensor) error {
			return errors.Join(ran.Append("inputs/", inputs), ran.Append("cnn/", cnn), ran.Append("efcn/", efcn))
		}
	}
	bar := e.progress("verify")
	o.Progress, o.World = bar.at, e.world
	report, err := verify.Verify(ctx, cnn, other, o)
	bar.clear()
	if err != nil {
		return nil, err
	}
	if !e.first() {
		return report, nil
	}
	return report, f.save(ran.Tensors(), report)
}

// compared is what verify --json prints of several candidates.
type compared struct {
	CNN        string           `json:"cnn"`
	Equal      bool             `json:"equal"` // all of them
	Candidates []*verify.Report `json:"candidates"`
}

// print prints the report on the only candidate, or a table of several. The answer is no
// where one is not equal.
func (f *verifyFlags) print(e *env, cnnPath string, candidates []string, reports []*verify.Report) error {
	equal := !slices.ContainsFunc(reports, func(r *verify.Report) bool { return !r.Equal() })
	var err error
	switch {
	case f.json && len(reports) == 1:
		err = printJSON(e.out, reports[0])
	case f.json:
		err = printJSON(e.out, compared{cnnPath, equal, reports})
	case len(reports) == 1:
		err = reports[0].WriteText(e.out)
	default:
		printCandidates(e.out, cnnPath, candidates, reports)
	}
	if err == nil && !f.json && f.inputs == "" && reports[0].Random > 0 {
		line := append([]string{"verify", cnnPath}, append(candidates, "--samples", "0", "--inputs", "X.npz")...)
		fmt.Fprintf(e.aside(""), "\nto judge on your own data: %s\n", commandLine(line))
	}
	if err == nil && !equal {
		err = errNo
	}
	return err
}

// printCandidates prints a row for every candidate: the figures of its first output in
// single precision, and the verdict.
func printCandidates(w io.Writer, cnnPath string, candidates []string, reports []*verify.Report) {
	fmt.Fprintf(w, "compared with %s, on %d samples, seed %d\n\n", cnnPath, reports[0].Samples, reports[0].Seed)
	var rows [][]string
	for i, r := range reports {
		row := []string{candidates[i], "", "", "", "", r.Verdict()}
		for k := range r.Outputs {
			if o := &r.Outputs[k]; o.Precision == verify.Float32 {
				row[1], row[2] = fmt.Sprintf("%.3g", float64(o.Max)), fmt.Sprintf("%.3g", float64(o.MaxRel))
				if row[3] = fmt.Sprintf("%.3g", float64(o.Ratio)); o.Exact {
					row[3] = "exact"
				}
				if o.Rows > 0 {
					row[4] = fmt.Sprintf("%d of %d", o.Agree, o.Rows)
				}
				break
			}
		}
		rows = append(rows, row)
	}
	printTable(w, []string{"model", ">|difference|", ">relative", ">of its bound", ">argmax agrees", "verdict"}, rows)
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
