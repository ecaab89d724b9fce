package main

import (
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
}

func (f *runFlags) addFlags(flags *pflag.FlagSet) {
	f.dtype = oneOf{value: "float32", allowed: []string{"float32", "float64"}}
	flags.StringVar(&f.inputs, "inputs", "",
		"X.npz with an array per input, X.npy for a single one, or a folder of ONNX test data")
	flags.StringVarP(&f.output, "output", "o", "", "write the outputs to this .npz file; - is stdout")
	f.engine.addFlags(flags)
	flags.Var(&f.dtype, "dtype", "precision that the embedded engine computes in")
	flags.IntVar(&f.bench, "bench", 0, "time this many runs more")
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
			if err := wantArchive("-o", f.output); err != nil {
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
	text := e.results(f.output)
	if err := printArrays(text, results); err != nil {
		return err
	}
	if f.output != "" {
		if err := e.writeOutput(f.output, func(w io.Writer) error { return arrays.WriteNPZ(w, results) }); err != nil {
			return err
		}
		if f.output != "-" {
			fmt.Fprintf(e.aside(f.output), "wrote %s\n", f.output)
		}
	}
	if f.bench > 0 {
		if err := bench(ctx, text, session, inputs, f.bench); err != nil {
			return inFile(path, err)
		}
	}
	return compareExpected(text, f.inputs, results, given.Outputs)
}

func printArrays(w io.Writer, all []*onnxio.Tensor) error {
	var rows [][]string
	for _, a := range all {
		values, err := arrays.Numbers(a)
		if err != nil {
			return err
		}
		row := []string{a.Name, a.Type.String(), formatShape(a.Dims), "", "", ""}
		if len(values) > 0 {
			lo, hi, sum := math.Inf(1), math.Inf(-1), 0.0
			for _, v := range values {
				// The built-in min and max carry a NaN through.
				lo, hi, sum = min(lo, v), max(hi, v), sum+v
			}
			row[3], row[4], row[5] = fmt.Sprintf("%.6g", lo), fmt.Sprintf("%.6g", sum/float64(len(values))), fmt.Sprintf("%.6g",
				hi)
		}
		rows = append(rows, row)
	}
	printTable(w, []string{"output", "type", "shape", ">min", ">mean", ">max"}, rows)
	return nil
}

// bench times n runs after the first, which has made ready what is made once.
func bench(ctx context.Context, w io.Writer, session *engines.Session, inputs []*onnxio.Tensor, n int) error {
	times := make([]time.Duration, n)
	for i := range times {
		start := time.Now()
		if _, err := session.Run(ctx, inputs); err != nil {
			return err
		}
		times[i] = time.Since(start)
	}
	slices.Sort(times)
	ms := func(d time.Duration) string { return fmt.Sprintf("%.3f ms", float64(d)/1e6) }
	fmt.Fprintf(w, "%d runs: fastest %s, median %s, slowest %s (%s)\n",
		n, ms(times[0]), ms(times[n/2]), ms(times[n-1]), session)
	return nil
}

// compareExpected prints how far outputs are from those of a folder of ONNX test
// data. They differ: the answer is no.
func compareExpected(w io.Writer, dir string, got, want []*onnxio.Tensor) error {
	differences, err := arrays.Compare(got, want)
	if err != nil {
		return inFile(dir, err)
	}
	for _, d := range differences {
		fmt.Fprintln(w, d)
	}
	if !slices.ContainsFunc(differences, func(d arrays.Difference) bool { return !d.Equal() }) {
		return nil
	}
	return errNo
}
