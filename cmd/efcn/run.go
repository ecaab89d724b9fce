package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"efcn/internal/arrays"
	"efcn/internal/atomicfile"
	"efcn/internal/engine"
	"efcn/internal/kernel"
	"efcn/onnxio"
)

type runFlags struct {
	inputs string
	output string
	dtype  oneOf // Default float32.
	bench  int   // Default 0: none.
}

func (f *runFlags) addFlags(flags *pflag.FlagSet) {
	f.dtype = oneOf{value: "float32", allowed: []string{"float32", "float64"}}
	flags.StringVar(&f.inputs, "inputs", "", "X.npz with an array per input, X.npy for a single one, or a folder of ONNX test data")
	flags.StringVarP(&f.output, "output", "o", "", "write the outputs to this .npz file")
	flags.Var(&f.dtype, "dtype", "precision to compute in")
	flags.IntVar(&f.bench, "bench", 0, "time this many runs more")
}

func newRun(e *env) *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use:   "run MODEL --inputs X.npz",
		Short: "Run a model on given inputs",
		Long: `run computes the outputs of a model in the embedded engine and prints what they
are like; -o writes them as one array per output. If --inputs is a folder of
ONNX test data with output_0.pb and so on, the outputs are compared with those,
within the tolerance of ONNX's own tests (1e-3 relative, 1e-7 absolute), and
the exit code is 1 if they differ.`,
		Args: args("MODEL"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.inputs == "" {
				return usagef("--inputs is missing")
			}
			if f.bench < 0 {
				return usagef("--bench %d; want a number of runs", f.bench)
			}
			if f.dtype.value == "float64" {
				return runModel[float64](cmd.Context(), e, &f, args[0])
			}
			return runModel[float32](cmd.Context(), e, &f, args[0])
		},
	}
	f.addFlags(cmd.Flags())
	return cmd
}

func runModel[T kernel.Float](ctx context.Context, e *env, f *runFlags, path string) error {
	m, err := e.readModel(path)
	if err != nil {
		return err
	}
	given, err := arrays.Load(f.inputs)
	if err != nil {
		return err
	}
	feeds, err := feed[T](m.Graph, given.Inputs)
	if err != nil {
		return inFile(f.inputs, err)
	}
	eng, err := engine.New[T](m)
	if err != nil {
		return inFile(path, unjoin(err)[0])
	}
	e.logf("matrix products by %s on %d threads", kernel.BLAS(), kernel.Threads())
	outputs, err := eng.Run(ctx, feeds)
	if err != nil {
		return inFile(path, err)
	}
	results, err := fetch(m.Graph, outputs)
	if err != nil {
		return inFile(path, err)
	}
	if err := printArrays(e.out, results); err != nil {
		return err
	}
	if f.output != "" {
		if err := atomicfile.Write(f.output, func(w io.Writer) error { return arrays.WriteNPZ(w, results) }); err != nil {
			return err
		}
		fmt.Fprintf(e.out, "wrote %s\n", f.output)
	}
	if f.bench > 0 {
		if err := bench(ctx, e, eng, feeds, f.bench); err != nil {
			return inFile(path, err)
		}
	}
	return compareExpected(e.out, f.inputs, results, given.Outputs)
}

// feed matches arrays with the inputs of a graph, by name; a single array
// without a name is the single input. Floating-point arrays are converted to
// the engine's precision.
func feed[T kernel.Float](g *onnxio.Graph, given []*onnxio.Tensor) (map[string]*engine.Tensor[T], error) {
	inputs := g.FeedInputs()
	feeds := make(map[string]*engine.Tensor[T], len(inputs))
	for i, v := range inputs {
		at := slices.IndexFunc(given, func(a *onnxio.Tensor) bool { return a.Name == v.Name })
		if at < 0 && i < len(given) && len(given) == len(inputs) && given[i].Name == "" {
			at = i
		}
		if at < 0 {
			return nil, fmt.Errorf("no array %q for that input; the file has %s", v.Name, arrayNames(given))
		}
		t, err := engineTensor[T](v.Type, given[at])
		if err != nil {
			return nil, fmt.Errorf("input %q: %w", v.Name, err)
		}
		feeds[v.Name] = t
	}
	if len(given) > len(inputs) {
		for _, a := range given {
			if feeds[a.Name] == nil {
				return nil, fmt.Errorf("array %q is no input of the model; its inputs are %s", a.Name, valueNames(inputs))
			}
		}
	}
	return feeds, nil
}

// engineTensor is the array a as a value of the declared type.
func engineTensor[T kernel.Float](want onnxio.TensorType, a *onnxio.Tensor) (*engine.Tensor[T], error) {
	t := &engine.Tensor[T]{Type: want.Elem, Shape: make([]int, len(a.Dims))}
	for i, d := range a.Dims {
		t.Shape[i] = int(d)
	}
	if want.Elem.IsFloat() != a.Type.IsFloat() || !want.Elem.IsFloat() && want.Elem != a.Type {
		return nil, fmt.Errorf("the array is %s; the model wants %s", arrays.Describe(a), formatType(want))
	}
	if want.HasShape {
		fits := len(a.Dims) == len(want.Shape)
		for i := 0; fits && i < len(a.Dims); i++ {
			fits = !want.Shape[i].Known() || want.Shape[i].Value == a.Dims[i]
		}
		if !fits {
			return nil, fmt.Errorf("the array is %s; the model wants %s", arrays.Describe(a), formatType(want))
		}
	}
	var err error
	if want.Elem.IsFloat() {
		t.F, err = onnxio.Floats[T](a)
	} else {
		t.I, err = onnxio.Ints(a)
	}
	return t, err
}

// fetch returns the outputs of a graph as arrays, in the graph's order.
func fetch[T kernel.Float](g *onnxio.Graph, outputs map[string]*engine.Tensor[T]) ([]*onnxio.Tensor, error) {
	all := make([]*onnxio.Tensor, len(g.Outputs))
	for i, v := range g.Outputs {
		var err error
		if all[i], err = array(v.Name, outputs[v.Name]); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// array is the value t of the engine as an array, floats at its precision.
func array[T kernel.Float](name string, t *engine.Tensor[T]) (*onnxio.Tensor, error) {
	dims := make([]int64, len(t.Shape))
	for i, d := range t.Shape {
		dims[i] = int64(d)
	}
	if t.Type.IsFloat() {
		return onnxio.NewTensor(name, dims, t.F), nil
	}
	return arrays.FromInts(name, t.Type, dims, t.I)
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
func bench[T kernel.Float](ctx context.Context, e *env, eng *engine.Engine[T], feeds map[string]*engine.Tensor[T], n int) error {
	times := make([]time.Duration, n)
	for i := range times {
		start := time.Now()
		if _, err := eng.Run(ctx, feeds); err != nil {
			return err
		}
		times[i] = time.Since(start)
	}
	slices.Sort(times)
	ms := func(d time.Duration) string { return fmt.Sprintf("%.3f ms", float64(d)/1e6) }
	fmt.Fprintf(e.out, "%d runs: fastest %s, median %s, slowest %s (%s, %d threads)\n",
		n, ms(times[0]), ms(times[n/2]), ms(times[n-1]), kernel.BLAS(), kernel.Threads())
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
