package verify

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"efcn/onnxio"
)

// maxFindings is how many findings the text lists; JSON has all.
const maxFindings = 20

// WriteText prints the report as a certificate that a person can read: the
// verdict of each check, a line per layer, the outputs, what was found, and
// what it comes to.
func (r *Report) WriteText(w io.Writer) error {
	b := bufio.NewWriter(w)
	if r.CNN != "" || r.EFCN != "" {
		fmt.Fprintf(b, "CNN   %s\neFCN  %s\n", r.CNN, r.EFCN)
	}
	fmt.Fprintf(b, "%d samples, seed %d\n\n", r.Samples, r.Seed)
	for _, c := range r.Checks {
		fmt.Fprintf(b, "%-10s %-8s %s\n", c.Name, c.Status, onnxio.Printable(c.Summary))
	}
	r.writeLayers(b)
	r.writeOutputs(b)
	if n := len(r.Findings); n > 0 {
		fmt.Fprintf(b, "\nfound\n")
		for _, f := range r.Findings[:min(n, maxFindings)] {
			fmt.Fprintf(b, "  %s\n", f)
		}
		if n > maxFindings {
			fmt.Fprintf(b, "  and %d more\n", n-maxFindings)
		}
	}
	fmt.Fprintf(b, "\n%s\n", r.verdict())
	if len(r.Failing) > 0 {
		fmt.Fprintf(b, "samples that show it: %v\n", r.Failing)
	}
	return b.Flush()
}

func (r *Report) verdict() string {
	switch {
	case !r.Equal():
		return "NOT EQUAL"
	case r.Checks[0].Status != OK: // the structure
		return "EQUAL, up to rounding, on the inputs that were run"
	case slices.ContainsFunc(r.Checks[1:], func(c Check) bool { return c.Status == OK }):
		return "EQUAL: the eFCN holds what the CNN says, and computes what it computes up to rounding"
	default:
		return "EQUAL: the eFCN holds what the CNN says; neither was run"
	}
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
	fmt.Fprintf(w, "\nlayer by layer, both models on the CNN's activations (largest |difference| as a part of its rounding bound)\n")
	t := tabwriter.NewWriter(w, 2, 0, 2, ' ', 0)
	fmt.Fprintf(t, "  node\top\tlayout\tmatrix\tsupport\tstructure\tfloat64\tfloat32\twhere\n")
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
		fmt.Fprintf(t, "  %s\t%s\t%s\t%s\t%s\n", onnxio.Printable(node), l.describe(v.Op), ratio(v.Float64), ratio(v.Float32), where)
	}
	for i := range r.Layers {
		if l := &r.Layers[i]; !listed[l.Output] {
			fmt.Fprintf(t, "  %s\t%s\t\t\t\n", onnxio.Printable(l.Node), l.describe(l.Op))
		}
	}
	t.Flush() //nolint:errcheck // w buffers; WriteText returns the error of its Flush
	if equal > 0 {
		fmt.Fprintf(w, "  and %d values more, all exactly equal\n", equal)
	}
}

// describe returns the columns op, layout, matrix, support and structure.
func (l *Layer) describe(op string) string {
	if l == nil {
		return op + "\t\t\t\t"
	}
	if len(l.Folded) > 0 {
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
	case d.Unrelated:
		return "another"
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
	fmt.Fprintf(w, "\noutputs, end to end\n")
	for i := range r.Outputs {
		o := &r.Outputs[i]
		fmt.Fprintf(w, "  %s in %s: largest |difference| %.3g (of %.3g), relative %.3g", onnxio.Printable(o.Name), o.Precision, float64(o.Max), float64(o.Scale), float64(o.MaxRel))
		if o.Exact {
			fmt.Fprint(w, ", exactly equal")
		} else {
			fmt.Fprintf(w, ", %.3g of the bound", float64(o.Ratio))
		}
		fmt.Fprintln(w)
		if o.Precision != Float32 {
			continue
		}
		fmt.Fprintf(w, "    least tolerance that passes: --atol %.3g or --rtol %.3g\n", float64(o.LeastATol), float64(o.LeastRTol))
		if len(o.Ulps) == 4 {
			fmt.Fprintf(w, "    units in the last place: %d (half of the elements), %d (90 %%), %d (99 %%), %d (all)\n", o.Ulps[0], o.Ulps[1], o.Ulps[2], o.Ulps[3])
		}
		var notes []string
		if o.Rows > 0 {
			notes = append(notes, fmt.Sprintf("argmax agrees on %d of %d samples", o.Agree, o.Rows))
		}
		if o.NaN > 0 || o.Inf > 0 {
			notes = append(notes, fmt.Sprintf("%d NaN, %d infinite", o.NaN, o.Inf))
		}
		if len(notes) > 0 {
			fmt.Fprintf(w, "    %s\n", strings.Join(notes, "; "))
		}
	}
}
