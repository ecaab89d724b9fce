package verify

import (
	"fmt"
	"io"
	"text/tabwriter"

	"efcn/onnxio"
)

// QuantizedConstant is a constant that the second model stores as integers.
type QuantizedConstant struct {
	Name     string `json:"name"`      // in the CNN
	Other    string `json:"efcn_name"` // of the integers
	Node     string `json:"node"`      // of the CNN that reads it
	Op       string `json:"op"`
	Type     string `json:"type"`
	Elements int64  `json:"elements"`
	// CutOff is how many of the CNN's numbers lie outside what the integers stand for, by more
	// than half a step.
	CutOff int64 `json:"cut_off"`
	// Wrong is how many are not the nearest number, or the end of the range for what is cut off.
	Wrong int64 `json:"wrong"`
	// Furthest is the largest distance in steps (scales) of those that are not cut off.
	Furthest Figure `json:"furthest_steps"`
}

// QuantizedValue is a value that the second model quantizes.
type QuantizedValue struct {
	Name  string `json:"name"`      // in the CNN
	Other string `json:"efcn_name"` // behind the DequantizeLinear
	Node  string `json:"node"`      // of the eFCN that quantizes it
	Type  string `json:"type"`
	// Least and Greatest are the ends of what the integers stand for, Step is their distance: of
	// several scales the least, the greatest and the largest.
	Least    Figure `json:"least"`
	Greatest Figure `json:"greatest"`
	Step     Figure `json:"step"`
	// Given and Random are how many of the CNN's numbers lie outside, on the samples that were given
	// and on random ones. What a Relu or Clip behind it cuts off anyway does not count.
	Given  RangeUse `json:"given"`
	Random RangeUse `json:"random"`
	// Distance is that of the eFCN's value from the CNN's, where that is what is quantized.
	Distance Distance `json:"distance"`
}

// RangeUse counts the numbers that lie more than half a step outside a range.
type RangeUse struct {
	Elements int64  `json:"elements"`
	Outside  int64  `json:"outside"`
	Furthest Figure `json:"furthest"` // by how much, from the end of the range
}

// newQuantizedValue returns the row of a quantizer, before anything is counted.
func newQuantizedValue(z *quantizer) *QuantizedValue {
	row := &QuantizedValue{
		Name: z.value, Other: z.result(), Node: z.quantize.Label(), Type: z.grid.elem.String(),
		Distance: Distance{Exact: true},
	}
	for k, s := range z.grid.scale {
		lo, hi := z.grid.ends(k)
		if k == 0 {
			row.Least, row.Greatest = Figure(lo), Figure(hi)
		}
		row.Least, row.Greatest = min(row.Least, Figure(lo)), max(row.Greatest, Figure(hi))
		row.Step = max(row.Step, Figure(s))
	}
	return row
}

// manyOutside is the share of the given samples' numbers beyond which a range is warned of: one that
// is calibrated by a percentile cuts off a part in a thousand by design.
const manyOutside = 1e-3

// share is how much of it lies outside.
func (u *RangeUse) share() float64 { return float64(u.Outside) / float64(max(1, u.Elements)) }

// writeWarnings prints which ranges cut off much of the samples that were given.
func (r *Report) writeWarnings(w io.Writer) {
	warned := false
	for i := range r.QuantizedValues {
		v := &r.QuantizedValues[i]
		if v.Given.share() > manyOutside {
			fmt.Fprintf(w, "WARNING: %.3g %% of %q lies outside the range that B has for it, %.4g to %.4g, by at most %.3g "+
				"on the samples given: it is cut off there\n", 100*v.Given.share(), onnxio.Printable(v.Name),
				float64(v.Least), float64(v.Greatest), float64(v.Given.Furthest))
			warned = true
		}
	}
	if warned {
		fmt.Fprintln(w)
	}
}

// writeQuantized prints a line for every constant and every value that the second model quantizes.
func (r *Report) writeQuantized(w io.Writer) {
	if len(r.QuantizedConstants) > 0 {
		fmt.Fprintf(w, "\nconstants that B stores as integers, beside those of A\n")
		t := tabwriter.NewWriter(w, 2, 0, 2, ' ', 0)
		fmt.Fprintf(t, "  constant\tin B\tnode\top\ttype\tnumbers\tcut off\twrong\tfurthest, in steps\n")
		for _, c := range r.QuantizedConstants {
			fmt.Fprintf(t, "  %s\t%s\t%s\t%s\t%s\t%d\t%d\t%d\t%.3g\n", onnxio.Printable(c.Name), onnxio.Printable(c.Other),
				onnxio.Printable(c.Node), c.Op, c.Type, c.Elements, c.CutOff, c.Wrong, float64(c.Furthest))
		}
		t.Flush() //nolint:errcheck // w buffers; WriteText returns the error of its Flush
	}
	if len(r.QuantizedValues) == 0 {
		return
	}
	fmt.Fprintf(w, "\nvalues that B quantizes, each given A's (largest |difference| as a part of half a step, or of what "+
		"is cut off)\n")
	t := tabwriter.NewWriter(w, 2, 0, 2, ' ', 0)
	fmt.Fprintf(t, "  value\ttype\tfrom\tto\tstep\toutside, of given samples\tof random ones\tdifference\n")
	for i := range r.QuantizedValues {
		v := &r.QuantizedValues[i]
		fmt.Fprintf(t, "  %s\t%s\t%.4g\t%.4g\t%.3g\t%s\t%s\t%s\n", onnxio.Printable(v.Name), v.Type, float64(v.Least),
			float64(v.Greatest), float64(v.Step), v.Given.text(), v.Random.text(), ratio(&v.Distance))
	}
	t.Flush() //nolint:errcheck // as above
}

// text says how many of them are outside, and by how much.
func (u *RangeUse) text() string {
	switch {
	case u.Elements == 0:
		return "-"
	case u.Outside == 0:
		return "none"
	default:
		return fmt.Sprintf("%.3g %%, by at most %.3g", 100*u.share(), float64(u.Furthest))
	}
}
