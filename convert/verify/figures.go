package verify

import (
	"fmt"
	"math"
	"slices"

	"efcn/internal/engine"
	"efcn/internal/kernel"
	"efcn/onnxio"
)

// outcome collects the figures of one output.
type outcome struct {
	Outcome
	mismatch string
	options  *Options
	words    words
	abs      tally // |difference|
	rel      tally // |difference|/|CNN's value|
	ulps     tally // distance in units in the last place
	mostUlps int64
	missed   int64 // elements that miss the tolerance
	furthest pair  // of those
}

// pair is an element that differs: the CNN's value, and how far the eFCN's is.
type pair struct{ value, diff float64 }

func newOutcome(name, precision string, o *Options, w words) *outcome {
	return &outcome{
		Outcome: Outcome{Name: name, Precision: precision}, options: o, words: w,
		abs: make(tally), rel: make(tally), ulps: make(tally),
	}
}

// tally counts numbers that are not negative, and takes those for one that agree
// in their exponent and eight more binary digits: integers up to 512 are told
// apart, and a quantile is at most 0.4 % too large.
type tally map[uint64]int64

// tallyDigits are the binary digits of a float64 that a tally leaves out.
const tallyDigits = 44

func (t tally) add(v float64) {
	// Rounded up, so that a quantile is no less than what it stands for.
	t[(math.Float64bits(v)+1<<tallyDigits-1)>>tallyDigits]++
}

// quantiles returns the numbers that 50, 90, 99 and 100 % are not above, none
// larger than most; nil if there are no numbers.
func (t tally) quantiles(most float64) []float64 {
	keys := make([]uint64, 0, len(t))
	total := int64(0)
	for k, n := range t {
		keys = append(keys, k)
		total += n
	}
	if total == 0 {
		return nil
	}
	slices.Sort(keys)
	var q []float64
	for _, percent := range []int64{50, 90, 99, 100} {
		seen := int64(0)
		for _, k := range keys {
			if seen += t[k]; seen*100 >= percent*total {
				q = append(q, min(math.Float64frombits(k<<tallyDigits), most))
				break
			}
		}
	}
	return q
}

// figures adds the figures of one batch of an output.
func figures[T kernel.Float](o *outcome, a, b *engine.Tensor[T], first int) {
	if !a.Type.IsFloat() {
		return
	}
	for i, v := range a.F {
		x, y := float64(v), float64(b.F[i])
		o.CNNNonFinite.count(x)
		o.EFCNNonFinite.count(y)
		if !math.IsNaN(x) && !math.IsInf(x, 0) {
			o.Scale = max(o.Scale, Figure(math.Abs(x)))
		}
		diff, rel := differ(a, b, i), 0.0
		if diff != 0 {
			if rel = diff / math.Abs(x); math.IsNaN(rel) {
				rel = math.Inf(1)
			}
			o.MaxRel = max(o.MaxRel, Figure(rel))
			o.tolerate(pair{math.Abs(x), diff}, first+i*samplesOf(a.Shape)/len(a.F))
		}
		o.abs.add(diff)
		o.rel.add(rel)
		if o.Precision == Float32 && o.options.As == onnxio.Undefined {
			n := ulpsApart(float32(x), float32(y), diff)
			o.mostUlps = max(o.mostUlps, n)
			o.ulps.add(float64(n))
		}
	}
	if len(a.Shape) == 0 || a.Shape[0] == 0 {
		return
	}
	if each := len(a.F) / a.Shape[0]; each > 1 {
		for s := range a.Shape[0] {
			classes(o, a.F[s*each:(s+1)*each], b.F[s*each:(s+1)*each])
		}
	}
}

// count counts a value that is not finite.
func (n *NonFinite) count(v float64) {
	switch {
	case math.IsNaN(v):
		n.NaN++
	case math.IsInf(v, 0):
		n.Inf++
	}
}

// tolerate notes an element that differs if it misses the tolerance.
func (o *outcome) tolerate(p pair, sample int) {
	if !o.options.tolerance() || p.diff <= o.options.ATol+o.options.RTol*p.value { // false where value is NaN
		return
	}
	o.missed++
	if p.diff > o.furthest.diff {
		o.furthest = p
	}
	if n := len(o.samples); n == 0 || o.samples[n-1] != sample {
		o.samples = append(o.samples, sample)
	}
}

// classes compares where the largest element of a sample is.
func classes[T kernel.Float](o *outcome, a, b []T) {
	o.Rows++
	best, other := argmax(a), argmax(b)
	if best == other {
		o.Agree++
	} else {
		o.Margin = max(o.Margin, Figure(float64(a[best])-float64(a[other])))
	}
	for i, v := range a {
		if i != best && v == a[best] {
			o.Ties++
			break
		}
	}
}

// argmax returns the first place of the largest element.
func argmax[T kernel.Float](v []T) int {
	best := 0
	for i := range v {
		if v[i] > v[best] {
			best = i
		}
	}
	return best
}

// ulpsApart counts the float32 numbers from a to b.
func ulpsApart(a, b float32, diff float64) int64 {
	if diff == 0 {
		return 0
	}
	if a != a || b != b {
		return math.MaxInt64
	}
	n := ordinal(a) - ordinal(b)
	if n < 0 {
		n = -n
	}
	return n
}

// ordinal numbers the float32 numbers in their order; both zeros are 0.
func ordinal(v float32) int64 {
	bits := int64(math.Float32bits(v))
	if bits >= 1<<31 {
		return -(bits - 1<<31)
	}
	return bits
}

// finish computes what needs all elements.
func (o *outcome) finish() Outcome {
	o.LeastATol, o.LeastRTol = o.Max, o.MaxRel
	for _, v := range o.abs.quantiles(float64(o.Max)) {
		o.AbsQuantiles = append(o.AbsQuantiles, Figure(v))
	}
	for _, v := range o.rel.quantiles(float64(o.MaxRel)) {
		o.RelQuantiles = append(o.RelQuantiles, Figure(v))
	}
	if q := o.ulps.quantiles(math.Inf(1)); q != nil {
		for _, v := range q[:3] {
			n := o.mostUlps
			if v < 1<<62 { // beyond that stands for a NaN
				n = min(n, int64(v))
			}
			o.Ulps = append(o.Ulps, n)
		}
		o.Ulps = append(o.Ulps, o.mostUlps)
	}
	return o.Outcome
}

// beyond says how an output misses a tolerance; "" if it does not.
func (o *outcome) beyond() string {
	if o.missed == 0 {
		return ""
	}
	return fmt.Sprintf(
		"%d of %d elements miss the tolerance %g + %g·|%s|; "+
			"the furthest is %.3g from a value of magnitude %.3g; it takes atol %.3g or rtol %.3g",
		o.missed, o.Elements, o.options.ATol, o.options.RTol, o.words.symbol, o.furthest.diff, o.furthest.value,
		float64(o.Max), float64(o.MaxRel))
}
