package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"efcn/convert/verify"
	"efcn/internal/arrays"
	"efcn/internal/engines"
	"efcn/onnxio"
)

type runFlags struct {
	inputs string
	output string
	engine engineFlags
	dtype  oneOf // Default float32.
	bench  int   // Default 0: none.
	json   bool
}

func (f *runFlags) addFlags(flags *pflag.FlagSet) {
	f.dtype = oneOf{value: "float32", allowed: []string{"float32", "float64"}}
	flags.StringVar(&f.inputs, "inputs", "",
		"X.npz with an array per input, X.npy for a single one, or a folder of ONNX test data")
	flags.StringVarP(&f.output, "output", "o", "", "write the outputs to this .npz file; - is stdout")
	f.engine.addFlags(flags)
	flags.Var(&f.dtype, "dtype", "precision that the embedded engine computes in")
	flags.IntVar(&f.bench, "bench", 0, "time this many runs more")
	addJSONFlag(flags, &f.json)
}

func newRun(e *env) *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use:   "run MODEL --inputs X.npz",
		Short: "Run a model on given inputs",
		Long: `run computes the outputs of a model and prints what they are like; -o writes
them as one array per output, of the types that the model declares (float64 with
--dtype float64; bfloat16, which NumPy does not have, as float32). If --inputs is
a folder of ONNX test data with output_0.pb and so on, the outputs are compared
with those, within the tolerance of ONNX's own tests (1e-3 relative, 1e-7
absolute), and the exit code is 1 if they differ.

` + ranksHelp,
		Args: args("MODEL"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.inputs == "" {
				return usagef("--inputs is missing")
			}
			if err := cmp.Or(wantArchive("-o", f.output), oneOnStdout(f.output, f.json)); err != nil {
				return err
			}
			if f.bench < 0 {
				return usagef("--bench %d; want a number of runs", f.bench)
			}
			if err := f.engine.validate(); err != nil {
				return err
			}
			if f.engine.engine.value != engines.Embedded && cmd.Flags().Changed("dtype") {
				return usagef("--dtype is for --engine %s; %s computes in the types that the model declares", engines.Embedded,
					f.engine.engine.value)
			}
			return runModel(cmd.Context(), e, &f, args[0])
		},
	}
	f.addFlags(cmd.Flags())
	return cmd
}

// wantArchive refuses a name under which NumPy's users expect a single array.
func wantArchive(flag, path string) error {
	if strings.EqualFold(filepath.Ext(path), ".npy") {
		return usagef("%s %s: what is written is an archive of arrays; want .npz", flag, path)
	}
	return nil
}

func runModel(ctx context.Context, e *env, f *runFlags, path string) (err error) {
	m, err := e.readModel(path)
	if err != nil {
		return err
	}
	given, err := arrays.Load(f.inputs)
	if err != nil {
		return err
	}
	inputs, err := arrays.Match(m.Graph, given.Inputs)
	if err != nil {
		return inFile(f.inputs, err)
	}
	session, err := f.engine.open(ctx, e, m, f.dtype.value == "float64")
	if err != nil {
		return inFile(path, err)
	}
	defer func() { err = errors.Join(err, session.Close()) }()
	results, err := session.Run(ctx, inputs)
	if err != nil {
		return inFile(path, err)
	}
	if err := e.alike(ctx, results); err != nil {
		return inFile(path, err)
	}
	r := ran{Model: path, Engine: session.Name(), EngineVersion: session.String()}
	if r.Outputs, err = describeArrays(results); err != nil {
		return err
	}
	if r.Expected, err = compareExpected(results, given.Outputs); err != nil {
		return inFile(f.inputs, err)
	}
	if f.output != "" {
		if err := e.writeOutput(f.output, func(w io.Writer) error { return arrays.WriteNPZ(w, results) }); err != nil {
			return err
		}
		r.Output = f.output
	}
	if f.bench > 0 {
		if r.Bench, err = bench(ctx, session, inputs, f.bench); err != nil {
			return inFile(path, err)
		}
	}
	if f.json {
		err = printJSON(e.out, r)
	} else {
		r.print(e, f.output)
	}
	if err == nil && slices.ContainsFunc(r.Expected, func(x expectedOutput) bool { return !x.Equal }) {
		err = errNo
	}
	return err
}

// ran is what run --json prints.
type ran struct {
	Model         string           `json:"model"`
	Engine        string           `json:"engine"`
	EngineVersion string           `json:"engine_version"`
	Outputs       []ranOutput      `json:"outputs"`
	Expected      []expectedOutput `json:"expected,omitempty"` // of a folder of ONNX test data
	Output        string           `json:"output,omitempty"`   // the file that was written
	Bench         *timed           `json:"bench,omitempty"`
}

// ranOutput says what an output is like. One without elements has no figures.
type ranOutput struct {
	Name  string         `json:"name"`
	Type  string         `json:"type"`
	Shape []int64        `json:"shape"`
	Min   *verify.Figure `json:"min,omitempty"`
	Mean  *verify.Figure `json:"mean,omitempty"`
	Max   *verify.Figure `json:"max,omitempty"`
}

// expectedOutput says how far an output is from the expected one.
type expectedOutput struct {
	Output        string        `json:"output"`
	Equal         bool          `json:"equal"` // within the tolerance of ONNX's own tests
	Shape         []int64       `json:"shape"`
	ExpectedShape []int64       `json:"expected_shape"`
	Max           verify.Figure `json:"max"` // largest |difference|
	Over          int           `json:"over"`
	Elements      int           `json:"elements"`

	text string
}

// timed are the times of some runs, in seconds.
type timed struct {
	Runs    int     `json:"runs"`
	Fastest float64 `json:"fastest_seconds"`
	Median  float64 `json:"median_seconds"`
	Slowest float64 `json:"slowest_seconds"`
}

// print prints the result as text.
func (r *ran) print(e *env, output string) {
	text := e.results(output)
	var rows [][]string
	for _, o := range r.Outputs {
		row := []string{o.Name, o.Type, formatShape(o.Shape), "", "", ""}
		for i, v := range []*verify.Figure{o.Min, o.Mean, o.Max} {
			if v != nil {
				row[3+i] = fmt.Sprintf("%.6g", float64(*v))
			}
		}
		rows = append(rows, row)
	}
	printTable(text, []string{"output", "type", "shape", ">min", ">mean", ">max"}, rows)
	if output != "" && output != "-" {
		fmt.Fprintf(e.aside(output), "wrote %s\n", output)
	}
	if b := r.Bench; b != nil {
		fmt.Fprintf(text, "%d runs: fastest %.3f ms, median %.3f ms, slowest %.3f ms (%s)\n",
			b.Runs, 1e3*b.Fastest, 1e3*b.Median, 1e3*b.Slowest, r.EngineVersion)
	}
	for _, x := range r.Expected {
		fmt.Fprintln(text, x.text)
	}
}

// describeArrays says what arrays are like.
func describeArrays(all []*onnxio.Tensor) ([]ranOutput, error) {
	var outputs []ranOutput
	for _, a := range all {
		values, err := arrays.Numbers(a)
		if err != nil {
			return nil, err
		}
		o := ranOutput{Name: a.Name, Type: a.Type.String(), Shape: a.Dims}
		if len(values) > 0 {
			lo, hi, sum := math.Inf(1), math.Inf(-1), 0.0
			for _, v := range values {
				// The built-in min and max carry a NaN through.
				lo, hi, sum = min(lo, v), max(hi, v), sum+v
			}
			least, mean, most := verify.Figure(lo), verify.Figure(sum/float64(len(values))), verify.Figure(hi)
			o.Min, o.Mean, o.Max = &least, &mean, &most
		}
		outputs = append(outputs, o)
	}
	return outputs, nil
}

// bench times n runs after the first, which has made ready what is made once.
func bench(ctx context.Context, session *engines.Session, inputs []*onnxio.Tensor, n int) (*timed, error) {
	times := make([]time.Duration, n)
	for i := range times {
		start := time.Now()
		if _, err := session.Run(ctx, inputs); err != nil {
			return nil, err
		}
		times[i] = time.Since(start)
	}
	slices.Sort(times)
	return &timed{n, times[0].Seconds(), times[n/2].Seconds(), times[n-1].Seconds()}, nil
}

// compareExpected says how far outputs are from those of a folder of ONNX test data.
func compareExpected(got, want []*onnxio.Tensor) ([]expectedOutput, error) {
	differences, err := arrays.Compare(got, want)
	var all []expectedOutput
	for _, d := range differences {
		all = append(all, expectedOutput{
			d.Name, d.Equal(), d.Got, d.Want, verify.Figure(d.Max), d.Over, d.Elements, d.String(),
		})
	}
	return all, err
}
