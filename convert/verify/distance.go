package verify

import (
	"fmt"
	"math"

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

// words are what a report calls the two models.
type words struct{ first, second, symbol string }

func (r *Report) words() words {
	if r.Recorded {
		return words{"the CNN", "the eFCN", "CNN"}
	}
	return words{"A", "B", "A"}
}

// over says in words where the worst element is.
func (d *Distance) over(name string, w words) string {
	limit := "they have to be equal"
	if d.Bound != 0 {
		limit = fmt.Sprintf("rounding explains at most %.3g", float64(d.Bound))
	}
	return fmt.Sprintf(
		"element %v of %q (sample first): %s has %v, %s %v, %.3g apart; %s; %d of %d elements are beyond their bound",
		d.At, name, w.first, float64(d.CNN), w.second, float64(d.EFCN), math.Abs(float64(d.CNN-d.EFCN)), limit, d.Over,
		d.Elements)
}
