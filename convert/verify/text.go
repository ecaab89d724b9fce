package verify

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"strings"
	"text/tabwriter"

	"efcn/onnxio"
)

// maxFindings is how many findings the text lists; JSON has all.
const maxFindings = 20

// WriteText prints the report as a certificate that a person can read: the
// verdict in a sentence, what became of each check, a line per layer, the outputs, and
// what was found.
func (r *Report) WriteText(w io.Writer) error {
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, "%s\n\n", r.Verdict())
	r.writeWarnings(b)
	if r.CNN != "" || r.EFCN != "" {
		names := [2]string{"CNN", "eFCN"}
		if !r.Recorded {
			names = [2]string{"A", "B"}
		}
		cnn := r.CNN
		if r.As != "" {
			cnn += " (as " + string(r.As) + ")"
		}
		fmt.Fprintf(b, "%-4s  %s\n%-4s  %s\n", names[0], cnn, names[1], r.EFCN)
	}
	switch {
	case r.JudgedAs == onnxio.Int8.String():
		fmt.Fprint(b, "B is judged as int8: each integer has to stand for the nearest number that it can, and what lies "+
			"outside a range is cut off at its end\n")
	case r.JudgedAs != "":
		fmt.Fprintf(b, "B is judged as %s: its parameters and the result of each node may be rounded to that; "+
			"what it has in %s is rounded after every node\n", r.JudgedAs, r.JudgedAs)
	}
	fmt.Fprintf(b, "%d samples, seed %d\n", r.Samples, r.Seed)
	if r.Random > 0 {
		large := "times 1024, "
		switch {
		case r.JudgedAs == onnxio.Int8.String():
			large = "within the range that B has for its input; "
		case r.JudgedAs != "":
			large = ""
		}
		fmt.Fprintf(b, "%d are random, at many scales (normal, uniform, mostly zero; %sdivided by 1024): "+
			"figures on real data may be others\n", r.Random, large)
	}
	if r.OneAtATime != "" {
		fmt.Fprintf(b, "run one at a time, since the models take no two: %s\n", onnxio.Printable(r.OneAtATime))
	}
	fmt.Fprintln(b)
	width := 10
	for _, c := range r.Checks {
		width = max(width, len(c.Name))
	}
	for _, c := range r.Checks {
		fmt.Fprintf(b, "%-*s %-8s %s\n", width, c.Name, c.Status, onnxio.Printable(c.Summary))
	}
	if lines := r.describeElsewhere(); len(lines) > 0 {
		fmt.Fprintf(b, "\nnot in the embedded engine, which lacks them, and in single precision in float64 too\n  %s\n",
			strings.Join(lines, "\n  "))
	}
	r.writeQuantized(b)
	r.writeLayers(b)
	r.writeOutputs(b)
	r.writeSteps(b)
	r.writeEngines(b)
	if n := len(r.Findings); n > 0 {
		fmt.Fprintf(b, "\nfound\n")
		for _, f := range r.Findings[:min(n, maxFindings)] {
			fmt.Fprintf(b, "  %s\n", f)
		}
		if n > maxFindings {
			fmt.Fprintf(b, "  and %d more\n", n-maxFindings)
		}
	}
	r.writeParting(b)
	if len(r.Failing) > 0 {
		fmt.Fprintf(b, "\nsamples that show it: %v\n", r.Failing)
	}
	return b.Flush()
}

// writeLayers prints a line per value: the embedded layers, and whatever else
// differs at all. What is exactly equal besides is counted.
func (r *Report) writeLayers(w io.Writer) {
	layers := make(map[string]*Layer)
	for i := range r.Layers {
		layers[r.Layers[i].Output] = &r.Layers[i]
	}
	if len(r.Values) == 0 && len(r.Layers) == 0 {
		return
	}
	words := r.words()
	fmt.Fprintf(w,
		"\nlayer by layer, both models on the activations of %s "+
			"(largest |difference| as a part of its rounding bound)\n", words.first)
	t := tabwriter.NewWriter(w, 2, 0, 2, ' ', 0)
	if r.Recorded {
		fmt.Fprintf(t, "  node\top\tlayout\tmatrix\tsupport\tstructure\tfloat64\tfloat32\twhere\n")
	} else {
		fmt.Fprintf(t, "  node\top\tvalue\tin B\tfloat64\tfloat32\twhere\n")
	}
	equal := 0
	listed := make(map[string]bool)
	for i := range r.Values {
		v := &r.Values[i]
		l := layers[v.Name]
		if l == nil && v.exact() {
			equal++
			continue
		}
		listed[v.Name] = true
		node := v.Node
		if l != nil {
			node = l.Node
		}
		where := ""
		if d := v.Float32; d != nil && len(d.At) > 0 {
			where = fmt.Sprint(d.At)
		}
		about := l.describe(v.Op)
		if !r.Recorded {
			about = fmt.Sprintf("%s\t%s\t%s", v.Op, onnxio.Printable(v.Name), onnxio.Printable(v.Other))
		}
		fmt.Fprintf(t, "  %s\t%s\t%s\t%s\t%s\n", onnxio.Printable(node), about, ratio(v.Float64), ratio(v.Float32),
			where)
	}
	for i := range r.Layers {
		if l := &r.Layers[i]; !listed[l.Output] {
			fmt.Fprintf(t, "  %s\t%s\t\t\t\n", onnxio.Printable(l.Node), l.describe(l.Op))
		}
	}
	if equal < len(r.Values) || len(r.Layers) > 0 {
		t.Flush() //nolint:errcheck // w buffers; WriteText returns the error of its Flush
	}
	switch {
	case equal == len(r.Values) && equal > 0 && len(r.Layers) == 0:
		fmt.Fprintf(w, "  all %d values exactly equal\n", equal)
	case equal > 0:
		fmt.Fprintf(w, "  and %d values more, all exactly equal\n", equal)
	}
}

// describe returns the columns op, layout, matrix, support and structure.
func (l *Layer) describe(op string) string {
	if l == nil {
		return op + "\t\t\t\t"
	}
	switch {
	case len(l.Factors) > 0:
		op = strings.Join(l.Factors, "+")
	case len(l.Folded) > 0:
		op = l.Op + "+" + op
	}
	status := string(l.Structure)
	if l.Wrong > 0 {
		status = fmt.Sprintf("%d wrong", l.Wrong)
	}
	return fmt.Sprintf("%s\t%s\t%d×%d\t%d\t%s", op, l.Layout, l.Rows, l.Cols, l.NonZeros, status)
}

func (v *Value) exact() bool {
	return (v.Float64 == nil || v.Float64.Exact) && (v.Float32 == nil || v.Float32.Exact)
}

func ratio(d *Distance) string {
	switch {
	case d == nil:
		return "-"
	case d.Exact:
		return "exact"
	case d.Unbounded > 0 && d.Over == 0:
		return fmt.Sprintf("%.3g, %d without a bound", float64(d.Ratio), d.Unbounded)
	default:
		return fmt.Sprintf("%.3g", float64(d.Ratio))
	}
}

func (r *Report) writeOutputs(w io.Writer) {
	if len(r.Outputs) == 0 {
		return
	}
	words := r.words()
	fmt.Fprintf(w, "\noutputs, end to end\n")
	for i := range r.Outputs {
		o := &r.Outputs[i]
		fmt.Fprintf(w, "  %s in %s: largest |difference| %.3g (of %.3g), relative %.3g", onnxio.Printable(o.Name),
			o.Precision, float64(o.Max), float64(o.Scale), float64(o.MaxRel))
		if o.Exact {
			fmt.Fprint(w, ", exactly equal")
		} else {
			fmt.Fprintf(w, ", %.3g of the bound", float64(o.Ratio))
		}
		if o.Unbounded > 0 {
			fmt.Fprintf(w, "; %d elements differ of which no bound is known", o.Unbounded)
		}
		fmt.Fprintln(w)
		if n, m := o.CNNNonFinite, o.EFCNNonFinite; n != (NonFinite{}) || m != (NonFinite{}) {
			fmt.Fprintf(w, "    no finite numbers: NaN %d in %s, %d in %s; infinite %d and %d\n", n.NaN, words.first,
				m.NaN, words.second, n.Inf, m.Inf)
		}
		if o.Precision != Float32 {
			continue
		}
		o.writeQuantiles(w)
		fmt.Fprintf(w, "    least tolerance that passes: atol %.3g or rtol %.3g\n", float64(o.LeastATol),
			float64(o.LeastRTol))
		if o.Rows == 0 {
			continue
		}
		fmt.Fprintf(w, "    argmax agrees on %d of %d samples", o.Agree, o.Rows)
		if o.Agree < o.Rows {
			fmt.Fprintf(w, "; on the others %s prefers its own by at most %.3g", words.first, float64(o.Margin))
		}
		if o.Ties > 0 {
			fmt.Fprintf(w, "; a tie in %d", o.Ties)
		}
		fmt.Fprintln(w)
	}
	for _, a := range r.NonFinite {
		model := words.first
		if a.Model == "efcn" {
			model = words.second
		}
		fmt.Fprintf(w, "  the first %s in %s, in %s: element %v of %s\n", a.Kind, model, a.Precision, a.At,
			placeText(a.Value, a.Node, a.Op))
	}
}

// writeQuantiles prints how many of the elements are how far apart.
func (o *Outcome) writeQuantiles(w io.Writer) {
	if len(o.AbsQuantiles) == 0 || o.Exact {
		return
	}
	t := tabwriter.NewWriter(w, 2, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "\thalf\t90 %%\t99 %%\tall of the elements\t\n")
	row := func(name string, q []Figure) {
		fmt.Fprintf(t, "    %s", name)
		for _, v := range q {
			fmt.Fprintf(t, "\t%.3g", float64(v))
		}
		fmt.Fprintf(t, "\t\n")
	}
	row("|difference|", o.AbsQuantiles)
	row("relative", o.RelQuantiles)
	if len(o.Ulps) > 0 {
		fmt.Fprintf(t, "    units in the last place")
		for _, n := range o.Ulps {
			if n == math.MaxInt64 {
				fmt.Fprintf(t, "\tNaN")
			} else {
				fmt.Fprintf(t, "\t%d", n)
			}
		}
		fmt.Fprintf(t, "\t\n")
	}
	t.Flush() //nolint:errcheck // w buffers; WriteText returns the error of its Flush
}

// placeText names a value and the node that computes it.
func placeText(value, node, op string) string {
	return fmt.Sprintf("%q, computed by node %q (%s)", value, node, op)
}

// writeParting prints where the models part.
func (r *Report) writeParting(w io.Writer) {
	p := r.Parting
	if p == nil {
		return
	}
	words := r.words()
	fmt.Fprintf(w, "\nwhere they part, in %s\n", p.Precision)
	t := tabwriter.NewWriter(w, 2, 0, 2, ' ', 0)
	for i, m := range p.After {
		head := ""
		if i == 0 {
			head = "  the last values that agree"
		}
		if fmt.Fprintf(t, "%s\t%q", head, m.CNN); m.EFCN != m.CNN {
			fmt.Fprintf(t, ", in %s %q", words.second, m.EFCN)
		}
		fmt.Fprintln(t)
	}
	for _, side := range []struct {
		who   string
		nodes []Step
	}{{words.first, p.Nodes}, {words.second, p.OtherNodes}} {
		head := "  from there " + side.who + " computes"
		for _, n := range side.nodes {
			fmt.Fprintf(t, "%s\t%s\n", head, placeText(n.Value, n.Node, n.Op))
			head = ""
		}
	}
	head := "  which differ in"
	for _, d := range p.Differences {
		fmt.Fprintf(t, "%s\t%s\n", head, onnxio.Printable(d))
		head = ""
	}
	if fmt.Fprintf(t, "  the first that do not agree\t%q", p.Value); p.Other != p.Value {
		fmt.Fprintf(t, " and, in %s, %q", words.second, p.Other)
	}
	fmt.Fprintln(t)
	t.Flush() //nolint:errcheck // as above
	if len(p.At) > 0 {
		fmt.Fprintf(w, "  %s\n", p.over(p.Value, words))
	}
	p.Row.write(w, words)
}

// write prints the terms of a sum.
func (row *Row) write(w io.Writer, words words) {
	if row == nil {
		return
	}
	fmt.Fprintf(w, "  that element is a sum over %q: %s has %v, %s %v; %d of %d terms have other weights\n",
		row.Input, words.first, float64(row.CNNSum), words.second, float64(row.EFCNSum), row.Differ, row.Of)
	t := tabwriter.NewWriter(w, 2, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "    \tinput\tweight in %s\tin %s\tproduct in %s\tin %s\t\n", words.first, words.second, words.first,
		words.second)
	for _, x := range row.Terms {
		fmt.Fprintf(t, "    %v\t%.9g\t%.9g\t%.9g\t%.9g\t%.9g\t\n", x.At, float64(x.Input), float64(x.CNNWeight),
			float64(x.EFCNWeight), float64(x.CNNProduct), float64(x.EFCNProduct))
	}
	fmt.Fprintf(t, "    bias\t\t\t\t%.9g\t%.9g\t\n", float64(row.CNNBias), float64(row.EFCNBias))
	t.Flush() //nolint:errcheck // as above
	if n := row.Of - len(row.Terms); n > 0 {
		fmt.Fprintf(w, "    and %d terms more\n", n)
	}
}
