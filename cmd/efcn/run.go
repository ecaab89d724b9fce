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
	"efcn/internal/engine"
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
	flags.StringVar(&f.inputs, "inputs", "", "X.npz with an array per input, X.npy for a single one, or a folder of ONNX test data")
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
absolute), and the exit code is 1 if they differ.`,
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
				return usagef("--dtype is for --engine %s; %s computes in the types that the model declares", engines.Embedded, f.engine.engine.value)
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
	inputs, err := matchInputs(m.Graph, given.Inputs)
	if err != nil {
		return inFile(f.inputs, err)
	}
	session, err := f.engine.open(ctx, m, f.dtype.value == "float64")
	if err != nil {
		return inFile(path, err)
	}
	defer func() { err = errors.Join(err, session.Close()) }()
	e.logf("engine %s: %s", session.Name(), session)
	results, err := session.Run(ctx, inputs)
	if err != nil {
		return inFile(path, err)
	}
	text := e.results(f.output)
	if err := printArrays(text, results); err != nil {
		return err
	}
	if f.output != "" {
		if err := e.writeOutput(f.output, func(w io.Writer) error { return writeNPZ(w, results) }); err != nil {
			return err
		}
		if f.output != "-" {
			fmt.Fprintf(text, "wrote %s\n", f.output)
		}
	}
	if f.bench > 0 {
		if err := bench(ctx, text, session, inputs, f.bench); err != nil {
			return inFile(path, err)
		}
	}
	return compareExpected(text, f.inputs, results, given.Outputs)
}

// writeNPZ writes arrays, those of bfloat16 as float32, which holds them exactly.
func writeNPZ(w io.Writer, all []*onnxio.Tensor) error {
	all = slices.Clone(all)
	for i, a := range all {
		if a.Type == onnxio.BFloat16 {
			values, err := onnxio.Floats[float32](a)
			if err != nil {
				return err
			}
			all[i] = onnxio.NewTensor(a.Name, a.Dims, values)
		}
	}
	return arrays.WriteNPZ(w, all)
}

// matchInputs matches arrays with the inputs of a graph, by name, and returns them
// under those names in the graph's order; arrays without a name, as many as there
// are inputs, are in that order.
func matchInputs(g *onnxio.Graph, given []*onnxio.Tensor) ([]*onnxio.Tensor, error) {
	inputs := g.FeedInputs()
	all := make([]*onnxio.Tensor, len(inputs))
	used := make(map[int]bool, len(inputs))
	for i, v := range inputs {
		at := slices.IndexFunc(given, func(a *onnxio.Tensor) bool { return a.Name == v.Name })
		if at < 0 && i < len(given) && len(given) == len(inputs) && given[i].Name == "" {
			at = i
		}
		if at < 0 {
			return nil, fmt.Errorf("no array %q for that input; the file has %s", v.Name, arrayNames(given))
		}
		used[at] = true
		if !suits(v.Type, given[at]) {
			return nil, fmt.Errorf("input %q: the array is %s; the model wants %s", v.Name, arrays.Describe(given[at]), formatType(v.Type))
		}
		a := *given[at]
		a.Name = v.Name
		all[i] = &a
	}
	for i, a := range given {
		if !used[i] {
			return nil, fmt.Errorf("array %q is no input of the model; its inputs are %s", a.Name, valueNames(inputs))
		}
	}
	return all, nil
}

// suits says whether an array can be fed to a declared input. Floating point is
// converted to the declared type.
func suits(want onnxio.TensorType, a *onnxio.Tensor) bool {
	if want.Elem != onnxio.Undefined && want.Elem != a.Type && !(want.Elem.IsFloat() && a.Type.IsFloat()) {
		return false
	}
	if !want.HasShape {
		return true
	}
	return slices.EqualFunc(want.Shape, a.Dims, func(d onnxio.Dim, n int64) bool { return !d.Known() || d.Value == n })
}

// engineTensors is what matchInputs returns as values of the engine.
func engineTensors(g *onnxio.Graph, given []*onnxio.Tensor) (map[string]*engine.Tensor[float32], error) {
	inputs, err := matchInputs(g, given)
	if err != nil {
		return nil, err
	}
	all := make(map[string]*engine.Tensor[float32], len(inputs))
	for i, v := range g.FeedInputs() {
		t, err := engine.FromONNX[float32](inputs[i])
		if err != nil {
			return nil, fmt.Errorf("input %q: %w", v.Name, err)
		}
		if v.Type.Elem != onnxio.Undefined {
			t.Type = v.Type.Elem
		}
		all[v.Name] = t
	}
	return all, nil
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
			row[3], row[4], row[5] = fmt.Sprintf("%.6g", lo), fmt.Sprintf("%.6g", sum/float64(len(values))), fmt.Sprintf("%.6g", hi)
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

// The tolerance of ONNX's own backend tests (onnx.backend.test, version 1.23).
const (
	expectedRTol = 1e-3
	expectedATol = 1e-7
)

// compareExpected compares outputs with those of a folder of ONNX test data,
// by position, as that format has them; none means nothing to compare.
func compareExpected(w io.Writer, dir string, got, want []*onnxio.Tensor) error {
	if len(want) == 0 {
		return nil
	}
	if len(want) > len(got) {
		return fmt.Errorf("%s: has %d outputs, the model %d", dir, len(want), len(got))
	}
	differ := false
	for i, expected := range want {
		name := got[i].Name
		if !slices.Equal(got[i].Dims, expected.Dims) {
			fmt.Fprintf(w, "output %q: shape %v, expected %v\n", name, got[i].Dims, expected.Dims)
			differ = true
			continue
		}
		g, err := arrays.Numbers(got[i])
		if err != nil {
			return err
		}
		x, err := arrays.Numbers(expected)
		if err != nil {
			return inFile(dir, err)
		}
		worst, over := 0.0, 0
		for j := range g {
			d := math.Abs(g[j] - x[j])
			if g[j] == x[j] || math.IsNaN(g[j]) && math.IsNaN(x[j]) {
				d = 0 // equal infinities too
			}
			if !(d <= expectedATol+expectedRTol*math.Abs(x[j])) {
				over++
			}
			worst = max(worst, d)
		}
		fmt.Fprintf(w, "output %q: at most %.3g from the expected one, %d of %d elements past the tolerance\n", name, worst, over, len(g))
		differ = differ || over > 0
	}
	if differ {
		return errNo
	}
	return nil
}

func arrayNames(all []*onnxio.Tensor) string {
	if len(all) == 0 {
		return "none"
	}
	names := make([]string, len(all))
	for i, a := range all {
		names[i] = fmt.Sprintf("%q", a.Name)
	}
	return strings.Join(names, ", ")
}

func valueNames(all []*onnxio.ValueInfo) string {
	names := make([]string, len(all))
	for i, v := range all {
		names[i] = fmt.Sprintf("%q", v.Name)
	}
	return strings.Join(names, ", ")
}
