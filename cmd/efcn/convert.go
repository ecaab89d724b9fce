package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"efcn/convert"
	"efcn/convert/record"
	"efcn/onnxio"
)

type convertFlags struct {
	outputFlags
	layout   oneOf     // Default auto.
	rank     layerRank // Default 32.
	layers   layerLayouts
	only     string
	fold     oneOf // Default off.
	maxPool  oneOf // Default keep.
	noFoldBN bool
	maxBytes byteSize    // Default 2 GiB.
	shapes   inputShapes // Default none.
	batch    batchAxes   // Default none.
	purpose  oneOf       // Default none.
	as       oneOf       // Default none.
	to       oneOf       // Default none.
	noSync   bool
	strict   bool
	dryRun   bool
}

func (f *convertFlags) addFlags(flags *pflag.FlagSet) {
	f.maxBytes = record.DefaultMaxBytes
	f.layout = newLayout()
	f.outputFlags.addFlags(flags)
	flags.Var(&f.layout, "layout", "form of the layers; auto is dense or local, see --for")
	f.purpose = choice("", convert.Purposes()...)
	flags.Var(&f.purpose, "for",
		"what auto is to suit: training is dense within --max-bytes and local beyond, inference the smaller of the two, "+
			"verifier dense; without it dense up to 256 MiB or 32 times local")
	flags.Var(&f.rank, "rank", "rank of factored layers: of U and V in local(x) + U(V x); default 32")
	flags.Var(&f.layers, "layer", "layout of one layer, as NODE=LAYOUT or NODE=factored:RANK; may be given again")
	flags.StringVar(&f.only, "only", "",
		"embed only the layers of this name; * and ? stand for any characters and for one")
	f.fold = choice(convert.FoldOff, convert.Folds()...)
	flags.Var(&f.fold, "fold",
		"multiply neighbouring linear operators: auto where that makes fewer operations, all wherever there is a matrix")
	flags.Lookup("fold").NoOptDefVal = string(convert.FoldAuto)
	f.maxPool = choice(convert.MaxPoolKeep, convert.MaxPools()...)
	flags.Var(&f.maxPool, "maxpool", "keep maxima on tensors, or make matrices and Relu of them")
	flags.BoolVar(&f.noFoldBN, "no-fold-bn", false,
		"keep a BatchNormalization as Mul and Add, after a Conv or Gemm and with --fold")
	flags.Var(&f.maxBytes, "max-bytes", "refuse an eFCN with more bytes of weights")
	flags.BoolVar(&f.noSync, "no-sync", false, "do not wait until the output is on the disk, as cp does not")
	addShapeFlags(flags, &f.shapes, &f.batch)
	f.to = choice("", record.Dense, record.Sparse, record.Local, record.Factored)
	flags.Var(&f.to, "to", "of an eFCN: take it to this layout, if that loses nothing")
	f.as = choice("", record.AsFloat32)
	flags.Var(&f.as, "as", "convert the whole model to this type first: inputs, outputs and weights")
	flags.BoolVar(&f.strict, "strict", false,
		"write nothing if a linear layer is not embedded that was not asked to be kept, "+
			"or the model declares a shape wrongly")
	flags.BoolVar(&f.dryRun, "dry-run", false, "print the plan and write nothing")
}

func (f *convertFlags) options() convert.Options {
	return convert.Options{
		Layout: record.Layout(f.layout.value), For: convert.Purpose(f.purpose.value), As: record.As(f.as.value),
		Layers: f.layers.layouts, Rank: int(f.rank), Ranks: f.layers.ranks, Only: f.only,
		Fold: convert.Fold(f.fold.value), MaxPool: convert.MaxPool(f.maxPool.value), NoFoldBN: f.noFoldBN,
		MaxBytes: int64(f.maxBytes), InputShapes: f.shapes, BatchAxes: f.batch, Strict: f.strict,
	}
}

func (f *convertFlags) validate() error {
	if f.output == "" && !f.dryRun {
		return usagef("-o OUT.onnx is missing (or --dry-run)")
	}
	return f.outputFlags.validate()
}

func newConvert(e *env) *cobra.Command {
	var f convertFlags
	cmd := &cobra.Command{
		Use:   "convert MODEL -o OUT.onnx",
		Short: "Turn a CNN into its equivalent fully-connected network",
		Long: `convert reads a CNN, prints what becomes of every layer and what that costs, and
writes the eFCN: an ordinary ONNX model with the same inputs and outputs in
which every linear layer is a matrix product. A plan that needs more bytes than
--max-bytes is refused before any work. The output is written as it is
generated, and appears only when it is complete.

A Pad in front of a convolution or pooling (nn.ZeroPad2d) becomes the padding of
that operator where this is the same function; the plan says where.

The plan ends with "embedded N of M linear layers" and the reason for each that is not.
M counts the nodes that an output depends on of Conv, ConvTranspose, AveragePool,
GlobalAveragePool, ReduceMean, ReduceSum, Resize and Upsample (linear, cubic), and
Gemm, MatMul and Einsum with a constant, also in the quantised and fused forms that
runtimes write. With --strict it is an error, exit code 1, if there is one besides
those that --layout keep, --layer and --only name; nothing is then written.

What is embedded is float32. A CNN of float64, float16 or bfloat16 is refused unless
--as float32 makes all of it float32, its inputs and outputs too. The weights are then
rounded once, and verify compares the eFCN with the CNN converted in the same way.

--layout factored stores the local form and two factors U and V of rank --rank, and
computes local(x) + U(V x). U is zero at first, so that the function is the CNN's; V has
orthonormal rows, which follow from the layer's name. Trained with --train all such a
layer reaches all of its matrix, with rank x (inputs + outputs) weights more than local.
It needs opset 11.

--fold multiplies a linear operator into the one behind it, if nothing else reads
what is between them. With --fold or --fold auto a chain of them is cut into
pieces, each multiplied out, so that the operations are fewest: a matrix counts
its non-zeros; a BatchNormalization, an elementwise operator with a constant, and
a Gather count one for every element that they compute. With --fold all each
chain becomes one matrix, unless there is none in it. A layer that is kept
(--layer, --only, --layout keep) and, with --no-fold-bn, a BatchNormalization
takes no part. Such a product has no kernel: measure and project leave it out.

--maxpool relu writes MaxPool, GlobalMaxPool and ReduceMax exactly as a tree of
max(a,b) = b + relu(a-b): a matrix and a Relu for each level, and one matrix
more, which --fold may multiply into what follows. Where the values can be
negative b is relu(b) - relu(-b).

efcn convert EFCN --to LAYOUT takes an eFCN, trained or not, to another layout in which
every weight has the same bits. What would lose something is refused, by the layer: weights
outside the support in local and factored form, and a U V that is not zero in any other
(efcn compress cuts these, or multiplies out). A layer that becomes factored has U = 0 and a
new V. Layers that the CNN had fully connected, and products, stay, unless it is dense.`,
		Args: args("MODEL"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.to.value != "" {
				return f.relayout(cmd, e, args[0])
			}
			return onFile(e, f.validate, f.run)(cmd, args)
		},
	}
	f.addFlags(cmd.Flags())
	return cmd
}

// converted is what convert --json prints.
type converted struct {
	Model  string        `json:"model"`
	Plan   *convert.Plan `json:"plan"`
	Output *written      `json:"output"` // null for a dry run
}

func (f *convertFlags) run(ctx context.Context, e *env, path string) error {
	m, err := e.readModel(path)
	if err != nil {
		return err
	}
	if !f.dryRun {
		if err := keepFiles(f.output, m, false); err != nil {
			return err
		}
	}
	plan, err := convert.NewPlan(m, f.options())
	if err != nil {
		return inFile(path, err)
	}
	for _, warning := range plan.Warnings {
		e.notef("efcn convert: warning: %s: %s", path, onnxio.PrintableText(warning))
	}
	report := e.aside(f.output)
	if f.dryRun {
		report = e.results(f.output)
	}
	if !f.json {
		printPlan(report, path, plan)
	}
	e.warnUncovered(path, plan.Coverage)
	if err := plan.CheckBudget(); err != nil {
		return inFile(path, err)
	}
	result := converted{Model: path, Plan: plan}
	refused := f.strict && len(plan.Coverage.NotEmbedded) > 0
	if refused {
		fmt.Fprintf(e.err, "efcn convert: %s: %d linear layers are not embedded; nothing is written (--strict)\n", path,
			len(plan.Coverage.NotEmbedded))
	}
	if !f.dryRun && !refused {
		efcn, err := plan.Model()
		if err != nil {
			return inFile(path, err)
		}
		bar := e.progress("convert")
		w, err := e.writeModel(ctx, f.output, efcn, onnxio.WriteOptions{
			External: onnxio.ExternalData(f.external.value), NoSync: f.noSync, Progress: bar.writing(f.output),
		})
		bar.clear()
		if err != nil {
			return err
		}
		if !f.json {
			fmt.Fprintln(report, w)
		}
		result.Output = w
	}
	if f.json {
		if err := printJSON(e.out, result); err != nil {
			return err
		}
	}
	if refused {
		return errNo
	}
	return nil
}

// warnUncovered warns if no linear layer is embedded, and not because
// it was asked for.
func (e *env) warnUncovered(path string, c convert.Coverage) {
	switch {
	case c.Embedded > 0 || c.Asked > 0:
	case c.Linear == 0:
		e.notef("efcn convert: warning: %s: it has no linear layer; nothing is embedded", path)
	default:
		e.notef("efcn convert: warning: %s: none of its %d linear layers is embedded: %s", path, c.Linear,
			c.NotEmbedded[0].Why)
	}
}

// printPlan prints what a conversion would do and cost.
func printPlan(w io.Writer, path string, p *convert.Plan) {
	fmt.Fprintf(w, "%s: plan of the conversion\n\n", path)
	if len(p.From) > 0 {
		fmt.Fprintf(w, "converted from %s to float32: inputs, outputs and weights, which are rounded\n\n",
			strings.Join(p.From, ", "))
	}
	printLayers(w, p)
	printAbsorbed(w, p)
	printFolded(w, p)
	if len(p.Kept) > 0 {
		fmt.Fprint(w, "\nkept on tensors:\n")
		var rows [][]string
		for _, k := range p.Kept {
			rows = append(rows, []string{"  " + k.Node, k.Op, k.Why})
		}
		printTable(w, []string{"  node", "op", "why"}, rows)
	}
	fmt.Fprintln(w)
	printCoverage(w, p.Coverage)
	fmt.Fprintf(w, "weights: %s of the %s allowed\n", formatBytes(p.WeightBytes), formatBytes(p.MaxBytes))
	if a := p.Auto; a != nil {
		fmt.Fprintf(w, "layout auto: %d dense, %d local; all dense would be %s, all local %s\n", a.Dense, a.Local,
			formatBytes(a.AllDense), formatBytes(a.AllLocal))
	}
	fmt.Fprintf(w, "memory: about %s to convert, %s when loaded\n", formatBytes(p.Memory.Converting),
		formatBytes(p.Memory.Loaded))
}

// printAbsorbed prints which Pads became the padding of an operator.
func printAbsorbed(w io.Writer, p *convert.Plan) {
	if len(p.Absorbed) == 0 {
		return
	}
	fmt.Fprint(w, "\npadding taken into the operator behind it:\n")
	var rows [][]string
	for _, a := range p.Absorbed {
		rows = append(rows, []string{"  " + a.Pad, a.Node})
	}
	printTable(w, []string{"  Pad", "operator"}, rows)
}

// printCoverage prints how many linear layers are embedded, and why others are not.
func printCoverage(w io.Writer, c convert.Coverage) {
	fmt.Fprintf(w, "embedded %d of %d linear layers", c.Embedded, c.Linear)
	if c.Asked > 0 {
		fmt.Fprintf(w, ", %d kept as asked", c.Asked)
	}
	fmt.Fprintln(w)
	for _, k := range c.NotEmbedded {
		fmt.Fprintf(w, "  not embedded: %s (%s): %s\n", k.Node, k.Op, k.Why)
	}
}

// printFolded prints which operators became one layer, and what that changed.
func printFolded(w io.Writer, p *convert.Plan) {
	if len(p.Folded) == 0 {
		return
	}
	fmt.Fprint(w, "\nmultiplied together:\n")
	var rows [][]string
	for _, f := range p.Folded {
		rows = append(rows, []string{
			"  " + f.Layer, strings.Join(f.Ops, " "),
			formatCount(f.OperationsApart), formatCount(f.Operations), formatBytes(f.BytesApart), formatBytes(f.Bytes),
		})
	}
	printTable(w, []string{"  layer", "operators", ">operations apart", ">folded", ">bytes apart", ">folded"}, rows)
}

// printLayers prints what the embedding of each linear layer costs.
func printLayers(w io.Writer, p *convert.Plan) {
	var rows [][]string
	for _, l := range p.Layers {
		op := operatorOf(l.Layer)
		if n := len(l.Folded); n > 0 {
			op += fmt.Sprintf(" +%d", n)
		}
		rows = append(rows, []string{
			l.Node, op, formatShape(l.InputShape) + " > " + formatShape(l.OutputShape), geometry(l.Layer),
			formatCount(l.CNNParameters), formatCount(l.Rows) + " x " + formatCount(l.Cols),
			formatCount(l.NonZeros), fmt.Sprintf("%.2f %%", 100*l.Density()),
			formatBytes(l.DenseBytes()), formatBytes(l.SparseBytes()), formatBytes(l.LocalBytes()),
			formatBytes(l.FactoredBytes()), formatLayout(l.Layer),
		})
	}
	printTable(w, []string{
		"node", "op", "input > output", "geometry",
		">CNN", ">matrix", ">non-zeros", ">density", ">dense", ">sparse", ">local", ">factored", "layout",
	}, rows)
}

// formatLayout is the layout of a layer, and the rank of a factored one.
func formatLayout(l record.Layer) string {
	if l.Layout == record.Factored {
		return fmt.Sprintf("%s %d", l.Layout, l.Rank)
	}
	return string(l.Layout)
}

// operatorOf returns the operator that a layer is called by: of a product, the
// one whose name it has.
func operatorOf(l record.Layer) string {
	for _, f := range l.Factors {
		if f.Output == l.Source {
			return f.Op
		}
	}
	return l.Op
}

// geometry describes a window in the terms of its ONNX attributes, leaving out
// those that have their usual value and writing one number where all are equal.
func geometry(l record.Layer) string {
	if len(l.KernelShape) == 0 {
		return ""
	}
	fields := []string{formatShape(l.KernelShape)}
	add := func(name string, values []int64, usual int64) {
		other := func(v int64) bool { return v != usual }
		switch distinct := slices.Compact(slices.Clone(values)); {
		case !slices.ContainsFunc(values, other):
		case len(distinct) == 1:
			fields = append(fields, fmt.Sprintf("%s %d", name, distinct[0]))
		default:
			fields = append(fields, name+" "+strings.ReplaceAll(formatShape(values), "x", ","))
		}
	}
	add("stride", l.Strides, 1)
	add("pad", l.Pads, 0)
	add("dilation", l.Dilations, 1)
	if l.Group > 1 {
		fields = append(fields, fmt.Sprintf("group %d", l.Group))
	}
	return strings.Join(fields, " ")
}
