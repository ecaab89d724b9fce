package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"efcn/convert/compress"
	"efcn/convert/record"
	"efcn/finetune"
	"efcn/finetune/data"
	"efcn/onnxio"
)

type compressFlags struct {
	outputFlags
	layout   oneOf        // No default.
	rank     layerRank    // Default none.
	energy   float64      // Default none.
	keep     float64      // Default none.
	layers   layerTargets // Default none.
	data     string       // Default none.
	skip     skipBad
	seed     uint64   // Default 0.
	maxBytes byteSize // Default 2 GiB.
	dryRun   bool
}

func (f *compressFlags) addFlags(flags *pflag.FlagSet) {
	f.maxBytes = record.DefaultMaxBytes
	f.outputFlags.addFlags(flags)
	f.layout = newTargetLayout()
	flags.Var(&f.layout, "layout", "form that the layers get")
	flags.Var(&f.rank, "rank", "factored: rank of what stays outside the support")
	flags.Float64Var(&f.energy, "energy", 0, "factored: the smallest rank that has this share of the energy, such as 0.99")
	flags.Float64Var(&f.keep, "keep", 0, "sparse: share of the entries outside the support that stay, such as 0.1")
	flags.Var(&f.layers, "layer",
		"target of one layer: NODE=factored:RANK, NODE=factored:ENERGY (below 1), NODE=sparse:KEEP, NODE=local, dense "+
			"or keep; may be given again")
	flags.StringVar(&f.data, "data", "", "labelled images to measure the accuracy on, before and after")
	f.skip.addFlags(flags)
	flags.Uint64Var(&f.seed, "seed", 0, "factored: seed of the search for singular vectors")
	flags.Var(&f.maxBytes, "max-bytes", "refuse an eFCN with more bytes of weights")
	flags.BoolVar(&f.dryRun, "dry-run", false, "print what would become of the layers and write nothing")
}

func (f *compressFlags) options() compress.Options {
	return compress.Options{
		Target: compress.Target{
			Layout: record.Layout(f.layout.value), Rank: int(f.rank), Energy: f.energy, Keep: f.keep,
		},
		Layers: f.layers, MaxBytes: int64(f.maxBytes), Seed: f.seed,
	}
}

// validate reports what makes no sense on the command line; given reports whether a
// flag is there.
func (f *compressFlags) validate(given func(flag string) bool) error {
	factored, sparse := f.layout.value == string(record.Factored), f.layout.value == string(record.Sparse)
	switch {
	case f.output == "" && !f.dryRun:
		return usagef("-o OUT.onnx is missing (or --dry-run)")
	case f.layout.value == "":
		return usagef("--layout is missing: factored, sparse, local or dense; keep, for the layers that no --layer names")
	case factored && given("rank") == given("energy"):
		return usagef("--layout factored: want --rank R or --energy E, one of them")
	case !factored && given("rank"):
		return usagef("--rank is for --layout factored")
	case !factored && given("energy"):
		return usagef("--energy is for --layout factored")
	case sparse && !given("keep"):
		return usagef("--layout sparse: want --keep K, the share of the entries outside the support that stay")
	case !sparse && given("keep"):
		return usagef("--keep is for --layout sparse")
	case given("energy") && !(f.energy > 0 && f.energy < 1):
		return usagef("--energy %v; want a number above 0 and below 1", f.energy)
	case given("keep") && !(f.keep > 0 && f.keep <= 1):
		return usagef("--keep %v; want a number above 0, at most 1", f.keep)
	case !factored && given("seed") && !f.layers.has(record.Factored):
		return usagef("--seed is for --layout factored")
	case bool(f.skip) && f.data == "":
		return usagef("--skip-bad is for --data")
	}
	return f.outputFlags.validate()
}

func newCompress(e *env) *cobra.Command {
	var f compressFlags
	cmd := &cobra.Command{
		Use:   "compress EFCN -o OUT.onnx --layout factored|sparse|local|dense",
		Short: "Cut what a trained eFCN has outside its support, or make it dense again",
		Long: `compress writes an eFCN in another layout. Inside the support of the CNN's operator
every weight stays what it is; what is outside it is cut:

  factored  to low rank: U V with the --rank largest singular values, or as many
            as have the share --energy of the sum of all their squares
  sparse    to the largest entries, --keep of them
  local     to nothing
  dense     not at all: of a factored layer U V is multiplied out

It prints for every layer what stays, the share of the energy (of the sum of squares
outside the support) that this has, the change |W - W'| / |W| of the layer's matrix,
and the bytes of its weights before and after. With --data it prints the accuracy
before and after, too. A layer that the CNN had fully connected, and a product, have
no support and stay as they are, unless --layout is dense.

Where U V has entries inside the support the local weights become W less those, rounded
to float32. V has orthonormal rows, as right after efcn convert --layout factored. The
singular vectors are found by randomised subspace iteration; a matrix of up to 256
rows or columns is decomposed whole. The result trains on: factored with --train all,
sparse and local with --train local, which leaves entries outside the support as they
are.

Matrices are read row by row. Held are, for one layer, 8 bytes x k x (inputs +
outputs) while k singular vectors are looked for, and the weights of its local form
when it is written; and U and V, 8 bytes a number, of all layers that change and are or
become factored. k is the rank and a quarter more, at least 8 more; where the matrix is
decomposed whole, all of its rows or columns, up to 256.

` + dataHelp,
		Args: args("EFCN"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.validate(cmd.Flags().Changed); err != nil {
				return err
			}
			return f.run(cmd.Context(), e, args[0])
		},
	}
	f.addFlags(cmd.Flags())
	return cmd
}

// compressed is what compress --json prints.
type compressed struct {
	Model string `json:"model"`
	*compress.Report
	Accuracy *accuracies `json:"accuracy,omitempty"`
	Output   *written    `json:"output"` // null for a dry run
}

// accuracies are what --data measured.
type accuracies struct {
	Data   string    `json:"data"`
	Before *measured `json:"before"`
	After  *measured `json:"after"`
}

func (f *compressFlags) run(ctx context.Context, e *env, path string) error {
	efcn, err := e.readModel(path)
	if err != nil {
		return err
	}
	if !f.dryRun {
		if err := keepFiles(f.output, efcn, true); err != nil {
			return err
		}
	}
	evaluate, err := f.evaluator(ctx, e)
	if err != nil {
		return err
	}
	out, report, err := compress.Compress(ctx, efcn, f.options())
	if err != nil {
		return inFile(path, err)
	}
	result := compressed{Model: path, Report: report}
	before, err := evaluate(ctx, efcn)
	if err != nil {
		return inFile(path, err)
	}
	if !f.dryRun {
		result.Output, err = e.writeModel(ctx, f.output, out, onnxio.WriteOptions{
			External: onnxio.ExternalData(f.external.value),
		})
		if err != nil {
			return err
		}
		if f.data != "" && f.output != "-" { // what was written is measured
			if out, err = e.readModel(f.output); err != nil {
				return err
			}
		}
	}
	after, err := evaluate(ctx, out)
	if err != nil {
		return err
	}
	if before != nil {
		result.Accuracy = &accuracies{f.data, before, after}
	}
	if f.json {
		return printJSON(e.out, result)
	}
	text := e.results(f.output)
	printCompressed(text, report)
	if before != nil {
		fmt.Fprintf(text, "before: %s\nafter:  %s\n", before, after)
	}
	if result.Output != nil {
		fmt.Fprintln(e.aside(f.output), result.Output)
	}
	return nil
}

// evaluator returns what measures a model on the images of --data; without, it measures nothing.
func (f *compressFlags) evaluator(
	ctx context.Context, e *env,
) (func(ctx context.Context, m *onnxio.Model) (*measured, error), error) {
	if f.data == "" {
		return func(context.Context, *onnxio.Model) (*measured, error) { return nil, nil }, nil
	}
	set, err := data.OpenTest(ctx, f.skip.in(f.data), nil)
	if err != nil {
		return nil, err
	}
	e.noteSkipped("compress", f.data, set)
	return func(ctx context.Context, m *onnxio.Model) (*measured, error) {
		metrics, err := finetune.Evaluate(ctx, m, set, 0)
		return measure(metrics), err
	}, nil
}

// printCompressed prints a line for every layer that changed, and why others did not.
func printCompressed(w io.Writer, r *compress.Report) {
	var rows [][]string
	for _, l := range r.Layers {
		if l.Unchanged != "" {
			continue
		}
		kept := "all"
		switch l.Layout {
		case record.Factored:
			kept = fmt.Sprintf("rank %d", l.Rank)
		case record.Sparse:
			kept = formatCount(l.Entries) + " entries"
		case record.Local:
			kept = "nothing"
		}
		rows = append(rows, []string{
			l.Node, l.Op, fmt.Sprintf("%s > %s", l.From, l.Layout), kept, fmt.Sprintf("%.2f %%", 100*l.Energy),
			formatShare(l.Change), formatBytes(l.Before), formatBytes(l.After),
		})
	}
	printTable(w, []string{
		"node", "op", "layout", ">kept outside", ">energy", ">change", ">bytes before", ">after",
	}, rows)
	for _, l := range r.Layers {
		if l.Unchanged != "" {
			fmt.Fprintf(w, "as it was: %s (%s): %s\n", l.Node, l.Op, l.Unchanged)
			continue
		}
		if l.Asked > 0 {
			fmt.Fprintf(w, "all of its rank: %s (%s): %d, where %d was asked for\n", l.Node, l.Op, l.Rank, l.Asked)
		}
		if l.Layout != record.Dense && l.After >= l.Dense {
			fmt.Fprintf(w, "no smaller than dense: %s (%s): %s, dense %s\n", l.Node, l.Op, formatBytes(l.After),
				formatBytes(l.Dense))
		}
	}
	fmt.Fprintf(w, "weights: %s before, %s after, of the %s allowed\n", formatBytes(r.Before), formatBytes(r.After),
		formatBytes(r.Allowed))
}

// newTargetLayout is the flag for the layout of compressed layers; none is the default.
func newTargetLayout() oneOf {
	return choice("", record.Factored, record.Sparse, record.Local, record.Dense, record.Keep)
}

// layerTargets is a flag, given once a layer, that says what becomes of it.
type layerTargets map[string]compress.Target

func (f *layerTargets) Set(s string) error {
	name, text, err := splitNamed(s, "NODE=LAYOUT", "layer", *f)
	if err != nil {
		return err
	}
	layout := newTargetLayout()
	text, amount, given := strings.Cut(text, ":")
	if err := layout.Set(text); err != nil {
		return fmt.Errorf("layout %q: %w", text, err)
	}
	t := compress.Target{Layout: record.Layout(layout.value)}
	v, err := strconv.ParseFloat(amount, 64)
	switch {
	case t.Layout == record.Sparse && err == nil:
		t.Keep = v
	case t.Layout == record.Sparse:
		return fmt.Errorf("layer %q: want sparse:KEEP, such as sparse:0.1", name)
	case t.Layout == record.Factored && err == nil && v > 0 && v < 1:
		t.Energy = v
	case t.Layout == record.Factored:
		var rank layerRank
		if rank.Set(amount) != nil {
			return fmt.Errorf("layer %q: want factored:RANK, or factored:ENERGY with a number below 1", name)
		}
		t.Rank = int(rank)
	case given:
		return fmt.Errorf("layer %q: %s takes no number", name, text)
	}
	if err := t.Validate(); err != nil {
		return fmt.Errorf("layer %q: %w", name, err)
	}
	if *f == nil {
		*f = make(layerTargets)
	}
	(*f)[name] = t
	return nil
}

// has reports whether a layer gets that layout.
func (f layerTargets) has(layout record.Layout) bool {
	for _, t := range f {
		if t.Layout == layout {
			return true
		}
	}
	return false
}

func (f *layerTargets) String() string { return "" }
func (f *layerTargets) Type() string   { return "NODE=TARGET" }
