package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"efcn/convert"
	"efcn/convert/record"
	"efcn/internal/arrays"
	"efcn/internal/engine"
	"efcn/onnxio"
)

type inspectFlags struct {
	shapes inputShapes // Default none.
	batch  batchAxes   // Default none.
	json   bool
}

func (f *inspectFlags) addFlags(flags *pflag.FlagSet) {
	addJSONFlag(flags, &f.json)
	addShapeFlags(flags, &f.shapes, &f.batch)
}

func newInspect(e *env) *cobra.Command {
	var f inspectFlags
	cmd := &cobra.Command{
		Use:   "inspect MODEL",
		Short: "Show what a model is and what embedding its layers would cost",
		Long: `inspect prints what a model is made of and, for each of its linear layers, what
the embedding would cost: the geometry, the parameters of the CNN, and the
non-zeros, density and bytes of the matrix. Of an eFCN it prints what was
embedded and how.`,
		Args: args("MODEL"),
		RunE: onFile(e, nil, f.run),
	}
	f.addFlags(cmd.Flags())
	return cmd
}

func (f *inspectFlags) run(ctx context.Context, e *env, path string) error {
	m, err := e.readModel(path)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(f.shapes)) {
		if !slices.ContainsFunc(m.Graph.FeedInputs(), func(v *onnxio.ValueInfo) bool { return v.Name == name }) {
			return usagef("--input-shape %s: %s has no input of that name", name, path)
		}
	}
	s, err := summarise(ctx, path, m, convert.Options{InputShapes: f.shapes, BatchAxes: f.batch})
	if err != nil {
		return inFile(path, err)
	}
	if f.json {
		return printJSON(e.out, s)
	}
	s.print(e.out)
	return nil
}

// summary is what inspect found; its JSON is what --json prints.
type summary struct {
	Model      string  `json:"model"`
	Producer   string  `json:"producer"`
	IR         int64   `json:"ir_version"`
	Opsets     []opset `json:"opsets"`
	Inputs     []value `json:"inputs"`
	Outputs    []value `json:"outputs"`
	Nodes      int     `json:"nodes"`
	Operators  []count `json:"operators"`
	Parameters int64   `json:"parameters"`    // elements of the floating-point initializers
	Bytes      int64   `json:"weights_bytes"` // of all initializers
	MACs       int64   `json:"macs"`          // of the linear layers on one input, without those on padding
	// Unsupported lists the nodes that the embedded engine cannot run.
	Unsupported []unsupported  `json:"unsupported"`
	Embedded    *record.Record `json:"embedded,omitempty"`
	// Deviation of an eFCN's layers from the CNN subspace.
	Deviation *record.Deviation `json:"deviation,omitempty"`
	Plan      *convert.Plan     `json:"plan,omitempty"`
	// NoPlan is why the model cannot be converted.
	NoPlan string `json:"no_plan,omitempty"`
}

type unsupported struct {
	Node string `json:"node"`
	Op   string `json:"op"`
	Why  string `json:"why"`
}

type opset struct {
	Domain  string `json:"domain"`
	Version int64  `json:"version"`
}

type value struct {
	Name string `json:"name"`
	Type string `json:"type"`
}

type count struct {
	Op    string `json:"op"`
	Count int    `json:"count"`
}

// contents returns the part of the summary that is read off the file.
func contents(path string, m *onnxio.Model) *summary {
	s := &summary{
		Model: path, Producer: strings.TrimSpace(m.ProducerName + " " + m.ProducerVersion),
		IR: m.IRVersion, Nodes: len(m.Graph.Nodes),
	}
	for _, o := range m.Opsets {
		domain := o.Domain
		if onnxio.CanonicalDomain(domain) == "" {
			domain = "ai.onnx"
		}
		s.Opsets = append(s.Opsets, opset{domain, o.Version})
	}
	for _, v := range m.Graph.FeedInputs() {
		s.Inputs = append(s.Inputs, value{v.Name, arrays.DescribeType(v.Type)})
	}
	for _, v := range m.Graph.Outputs {
		s.Outputs = append(s.Outputs, value{v.Name, arrays.DescribeType(v.Type)})
	}
	ops := make(map[string]int)
	for _, n := range m.Graph.Nodes {
		ops[n.QualifiedOp()]++
	}
	for op, n := range ops {
		s.Operators = append(s.Operators, count{op, n})
	}
	slices.SortFunc(s.Operators, func(a, b count) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Op, b.Op))
	})
	weights := slices.Clone(m.Graph.Initializers)
	for _, t := range m.Graph.SparseConstants() {
		weights = append(weights, t.Values)
		s.Bytes += t.Indices.Data.Len()
	}
	for _, t := range weights {
		if t.Data != nil {
			s.Bytes += t.Data.Len()
		}
		if n, err := onnxio.NumElements(t.Dims); err == nil && t.Type.IsFloat() {
			s.Parameters += n
		}
	}
	return s
}

// summarise adds what the layers of an eFCN are, or what embedding those of a CNN
// would cost.
func summarise(ctx context.Context, path string, m *onnxio.Model, o convert.Options) (*summary, error) {
	s := contents(path, m)
	_, err := engine.New[float32](m)
	s.Unsupported = unsupportedNodes(err)
	if s.Embedded, err = record.Read(m); err != nil {
		return nil, err
	}
	if s.Embedded != nil && len(o.InputShapes) > 0 {
		return nil, errors.New("--input-shape: the shapes of an eFCN are fixed")
	}
	if s.Embedded != nil {
		s.Deviation, err = record.Measure(ctx, m, nil)
		return s, err
	}
	plan, err := convert.NewPlan(m, o)
	if err != nil {
		s.NoPlan = oneLine(err)
		return s, nil
	}
	for _, l := range plan.Layers {
		s.MACs += l.MACs
	}
	s.Plan = plan
	return s, nil
}

// unsupportedNodes takes the nodes out of an error of engine.New.
func unsupportedNodes(err error) []unsupported {
	nodes := []unsupported{}
	var joined interface{ Unwrap() []error }
	errs := []error{err}
	if errors.As(err, &joined) {
		errs = joined.Unwrap()
	}
	for _, err := range errs {
		var n *onnxio.NodeError
		if errors.As(err, &n) {
			nodes = append(nodes, unsupported{n.Node, n.Op, n.Err.Error()})
		}
	}
	return nodes
}

func (s *summary) print(w io.Writer) {
	var opsets, ops []string
	for _, o := range s.Opsets {
		opsets = append(opsets, fmt.Sprintf("%s %d", o.Domain, o.Version))
	}
	for _, c := range s.Operators {
		ops = append(ops, fmt.Sprintf("%s %d", c.Op, c.Count))
	}
	fmt.Fprintf(w, "model       %s\n", s.Model)
	fmt.Fprintf(w, "producer    %s\n", onnxio.Printable(s.Producer))
	fmt.Fprintf(w, "format      IR %d, opset %s\n", s.IR, onnxio.Printable(strings.Join(opsets, ", ")))
	for _, v := range s.Inputs {
		fmt.Fprintf(w, "input       %s  %s\n", onnxio.Printable(v.Name), onnxio.Printable(fmt.Sprint(v.Type)))
	}
	for _, v := range s.Outputs {
		fmt.Fprintf(w, "output      %s  %s\n", onnxio.Printable(v.Name), onnxio.Printable(fmt.Sprint(v.Type)))
	}
	fmt.Fprintf(w, "operators   %s\n", onnxio.Printable(strings.Join(ops, ", ")))
	fmt.Fprintf(w, "parameters  %s (weights %s)\n", formatCount(s.Parameters), formatBytes(s.Bytes))
	if s.Plan != nil {
		fmt.Fprintf(w, "MACs        %s for one input, padding not counted\n", formatCount(s.MACs))
	}
	switch {
	case s.Embedded != nil:
		fmt.Fprintf(w, "\nan eFCN; embedded layers:\n\n")
		printRecord(w, s.Embedded)
		fmt.Fprintf(w, "\ndeviation from the CNN subspace:\n\n")
		printDeviation(w, s.Deviation)
	case s.Plan != nil:
		fmt.Fprintf(w, "\nembedding its linear layers would cost:\n\n")
		printLayers(w, s.Plan)
		fmt.Fprintf(w, "\nweights of the eFCN: %s\n", formatBytes(s.Plan.WeightBytes))
	default:
		fmt.Fprintf(w, "\ncannot be converted: %s\n", s.NoPlan)
	}
	if len(s.Unsupported) > 0 {
		fmt.Fprintf(w, "\ncannot be run or verified here:\n")
		var rows [][]string
		for _, u := range s.Unsupported {
			rows = append(rows, []string{"  " + u.Node, u.Op, u.Why})
		}
		printTable(w, []string{"  node", "op", "why"}, rows)
	}
}

// printRecord prints the record of an eFCN.
func printRecord(w io.Writer, r *record.Record) {
	var rows [][]string
	for _, l := range r.Layers {
		rows = append(rows, []string{
			l.Node, operatorOf(l), formatShape(l.InputShape) + " > " + formatShape(l.OutputShape), geometry(l),
			formatLayout(l), l.Weight, strings.Join(l.Folded, ", "),
		})
	}
	printTable(w, []string{"node", "op", "input > output", "geometry", "layout", "weight", "folded"}, rows)
}
