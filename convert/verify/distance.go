package verify

import (
	"fmt"
	"math"
	"slices"

	"efcn/internal/engine"
	"efcn/internal/kernel"
)

// measure adds the differences between a value of the CNN and of the eFCN to
// d, against their bounds (nil is 0). first is the number of the first sample.
// Two NaNs are equal, as are two infinities of one sign.
func measure[T kernel.Float](d *Distance, a, b *engine.Tensor[T], bound []float64, first int) {
	if d.Elements == 0 {
		d.Exact = true
	}
	n := a.Len()
	worst := -1
	for i := range n {
		diff, limit := differ(a, b, i), 0.0
		if bound != nil {
			limit = bound[i]
		}
		if diff == 0 {
			continue
		}
		d.Exact = false
		d.Max = Figure(math.Max(float64(d.Max), diff))
		if math.IsInf(limit, 1) {
			d.Unbounded++
			continue
		}
		ratio := diff / limit // Inf where the bound is 0
		if ratio > 1 {
			d.Over++
			if sample := first + i*samplesOf(a.Shape)/n; len(d.samples) == 0 || d.samples[len(d.samples)-1] != sample {
				d.samples = append(d.samples, sample)
			}
		}
		if Figure(ratio) > d.Ratio {
			d.Ratio, worst = Figure(ratio), i
		}
	}
	d.Elements += int64(n)
	if worst >= 0 {
		d.At = unravel(worst, a.Shape)
		if len(d.At) > 0 {
			d.At[0] += first
		}
		d.Bound = 0
		if bound != nil {
			d.Bound = Figure(bound[worst])
		}
		if a.Type.IsFloat() {
			d.CNN, d.EFCN = Figure(a.F[worst]), Figure(b.F[worst])
		} else {
			d.CNN, d.EFCN = Figure(a.I[worst]), Figure(b.I[worst])
		}
	}
}

// samplesOf is the length of the batch axis of a value; 1 of one that has none.
func samplesOf(shape []int) int {
	if len(shape) == 0 {
		return 1
	}
	return shape[0]
}

// differ returns |a − b| at element i; +Inf where one of them is NaN or
// infinite and the other is not the same.
func differ[T kernel.Float](a, b *engine.Tensor[T], i int) float64 {
	if !a.Type.IsFloat() {
		return math.Abs(float64(a.I[i]) - float64(b.I[i]))
	}
	x, y := float64(a.F[i]), float64(b.F[i])
	switch {
	case x == y || math.IsNaN(x) && math.IsNaN(y):
		return 0
	case math.IsNaN(x) || math.IsNaN(y):
		return math.Inf(1)
	default:
		return math.Abs(x - y)
	}
}

// add joins the distances of two batches.
func (d *Distance) add(e *Distance) {
	d.Elements += e.Elements
	d.Max = max(d.Max, e.Max)
	d.Over += e.Over
	d.Unbounded += e.Unbounded
	d.Exact = d.Exact && e.Exact
	d.samples = append(d.samples, e.samples...)
	if e.Ratio > d.Ratio {
		d.Ratio, d.At, d.CNN, d.EFCN, d.Bound = e.Ratio, e.At, e.CNN, e.EFCN, e.Bound
	}
}

// over says in words where the worst element is.
func (d *Distance) over(name string) string {
	limit := "they have to be equal"
	if d.Bound != 0 {
		limit = fmt.Sprintf("rounding explains at most %.3g", float64(d.Bound))
	}
	return fmt.Sprintf("element %v of %q (sample first): the CNN has %v, the eFCN %v, %.3g apart; %s; %d of %d elements are beyond their bound",
		d.At, name, float64(d.CNN), float64(d.EFCN), math.Abs(float64(d.CNN-d.EFCN)), limit, d.Over, d.Elements)
}

// outcome collects the figures of one output.
type outcome struct {
	Outcome
	mismatch string
	ulps     map[int64]int64 // distance in units in the last place -> elements
	pairs    []pair          // elements that differ
}

// pair is an element that differs: the CNN's value, and how far the eFCN's is.
type pair struct {
	value, diff float64
	sample      int
}

func newOutcome(name, precision string) *outcome {
	return &outcome{Outcome: Outcome{Name: name, Precision: precision}, ulps: make(map[int64]int64)}
}

// figures adds the figures of one batch of an output.
func figures[T kernel.Float](o *outcome, a, b *engine.Tensor[T], first int) {
	if !a.Type.IsFloat() {
		return
	}
	for i, v := range a.F {
		x, y := float64(v), float64(b.F[i])
		if math.IsNaN(x) || math.IsNaN(y) {
			o.NaN++
		}
		if math.IsInf(x, 0) || math.IsInf(y, 0) {
			o.Inf++
		}
		if !math.IsNaN(x) && !math.IsInf(x, 0) {
			o.Scale = max(o.Scale, Figure(math.Abs(x)))
		}
		diff := differ(a, b, i)
		if o.Precision == Float32 {
			o.ulps[ulpsApart(float32(x), float32(y), diff)]++
		}
		if diff == 0 {
			continue
		}
		o.pairs = append(o.pairs, pair{math.Abs(x), diff, first + i*samplesOf(a.Shape)/len(a.F)})
		rel := diff / math.Abs(x)
		if math.IsNaN(rel) {
			rel = math.Inf(1)
		}
		o.MaxRel = max(o.MaxRel, Figure(rel))
	}
	if len(a.Shape) == 0 || a.Shape[0] == 0 {
		return
	}
	each := len(a.F) / a.Shape[0]
	if each < 2 {
		return
	}
	for s := range a.Shape[0] {
		o.Rows++
		if argmax(a.F[s*each:(s+1)*each]) == argmax(b.F[s*each:(s+1)*each]) {
			o.Agree++
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
	if o.Precision != Float32 || len(o.ulps) == 0 {
		return o.Outcome
	}
	distances := make([]int64, 0, len(o.ulps))
	total := int64(0)
	for d, n := range o.ulps {
		distances = append(distances, d)
		total += n
	}
	slices.Sort(distances)
	for _, percent := range []int64{50, 90, 99, 100} {
		seen := int64(0)
		for _, d := range distances {
			if seen += o.ulps[d]; seen*100 >= percent*total {
				o.Ulps = append(o.Ulps, d)
				break
			}
		}
	}
	return o.Outcome
}

// beyond says how an output misses a tolerance; "" if it does not.
func (o *outcome) beyond(rtol, atol float64) string {
	over, worst := 0, pair{}
	for _, p := range o.pairs {
		if !(p.diff <= atol+rtol*p.value) { // also where value is NaN
			over++
			o.samples = append(o.samples, p.sample)
			if p.diff > worst.diff {
				worst = p
			}
		}
	}
	if over == 0 {
		return ""
	}
	return fmt.Sprintf("%d of %d elements miss the tolerance %g + %g·|CNN|; the furthest is %.3g from a value of magnitude %.3g; it takes --atol %.3g or --rtol %.3g",
		over, o.Elements, atol, rtol, worst.diff, worst.value, float64(o.Max), float64(o.MaxRel))
}
