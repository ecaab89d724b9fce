package finetune

import (
	"math"

	"efcn/internal/kernel"
)

// normalization brings rows to mean 0 and variance 1, or to mean square 1, then
// scales and shifts them (LayerNormalization, InstanceNormalization and others).
// Its inputs are x, rows×size, and scale and bias as far as there are any.
type normalization[T kernel.Float] struct {
	rows, size int
	epsilon    float64
	centred    bool
	// period is the number of rows after which scale and bias repeat. They lie over
	// so many rows; see scaling.
	period int
	affine [2]scaling[T]

	mean, inverse []float64 // of each row: its mean and 1/√(variance + epsilon)
}

// scaling is the scale or the bias: where it lies over period rows, and what belongs
// to it.
type scaling[T kernel.Float] struct {
	input int     // of the layer; 0 where there is none
	index []int32 // the element that each element of period rows meets; nil where that is its own

	spread []T       // the elements as they lie
	sums   []float64 // of the gradient where spread is
	folded []float64 // of the gradient at each element
}

// newNormalization makes room for what a step computes.
func newNormalization[T kernel.Float](rows, size, period int, epsilon float32) *normalization[T] {
	return &normalization[T]{
		rows: rows, size: size, period: period, epsilon: float64(epsilon), centred: true,
		mean: make([]float64, rows), inverse: make([]float64, rows),
	}
}

// bind makes input i of the layer, of count elements, the scale (k = 0) or the bias
// (k = 1). index has the element that meets each element of period rows.
func (l *normalization[T]) bind(k, i, count int, index []int32) {
	width := l.period * l.size
	a := &l.affine[k]
	*a = scaling[T]{input: i, index: index, sums: make([]float64, width)}
	if index != nil {
		a.spread, a.folded = make([]T, width), make([]float64, count)
	}
}

// over returns the elements as they lie over period rows, nil where there are none.
func (a *scaling[T]) over(in [][]T) []T {
	switch {
	case a.input == 0:
		return nil
	case a.index == nil:
		return in[a.input]
	}
	for i, k := range a.index {
		a.spread[i] = in[a.input][k]
	}
	return a.spread
}

// each calls body, in parallel, for each row: where it begins, and where its scale
// and bias do.
func (l *normalization[T]) each(body func(row, at, affine int)) {
	kernel.Parallel(l.rows, 1+elementGrain/max(1, l.size), func(lo, hi int) {
		for r := lo; r < hi; r++ {
			body(r, r*l.size, r%l.period*l.size)
		}
	})
}

func (l *normalization[T]) needs() needs { return needs{inputs: true} }

func (l *normalization[T]) forward(in [][]T, out []T) {
	scale, bias := l.affine[0].over(in), l.affine[1].over(in)
	l.each(func(r, at, p int) {
		x, y := in[0][at:at+l.size], out[at:at+l.size]
		mean, variance := 0.0, 0.0
		if l.centred {
			mean, variance = kernel.Moments(x)
		} else {
			variance = kernel.MeanSquare(x)
		}
		inverse := 1 / math.Sqrt(variance+l.epsilon)
		l.mean[r], l.inverse[r] = mean, inverse
		for i, v := range x {
			u := (float64(v) - mean) * inverse
			if scale != nil {
				u *= float64(scale[p+i])
			}
			if bias != nil {
				u += float64(bias[p+i])
			}
			y[i] = T(u)
		}
	})
}

func (l *normalization[T]) backward(p pass[T]) {
	for k := range l.affine {
		if a := &l.affine[k]; a.input > 0 && p.din[a.input] != nil {
			l.sum(p, k == 0, a.sums)
			a.gather(p.din[a.input])
		}
	}
	if p.din[0] == nil {
		return
	}
	scale := l.affine[0].over(p.in)
	// With u = (x − mean)·inverse and g the gradient at u: inverse·(g − mean(g) −
	// u·mean(g·u)), without mean(g) where the mean is not taken off.
	l.each(func(r, at, from int) {
		x, dy, dx := p.in[0][at:at+l.size], p.dout[at:at+l.size], p.din[0][at:at+l.size]
		mean, inverse := l.mean[r], l.inverse[r]
		var total, along float64
		for i, v := range dy {
			g := float64(v)
			if scale != nil {
				g *= float64(scale[from+i])
			}
			total += g
			along += g * (float64(x[i]) - mean)
		}
		total, along = total/float64(l.size), along*inverse*inverse/float64(l.size)
		if !l.centred {
			total = 0
		}
		for i, v := range dy {
			g := float64(v)
			if scale != nil {
				g *= float64(scale[from+i])
			}
			dx[i] = T(inverse * (g - total - (float64(x[i])-mean)*along))
		}
	})
}

// sum adds up over all rows that meet the same scale and bias the gradient at the
// scale or, without it, that at the bias.
func (l *normalization[T]) sum(p pass[T], scale bool, sums []float64) {
	kernel.Parallel(len(sums), max(strand, elementGrain*l.period/max(1, l.rows)), func(lo, hi int) {
		clear(sums[lo:hi])
		for r := range l.rows {
			// What of this row lies between lo and hi.
			base := r % l.period * l.size
			from, to := max(lo, base), min(hi, base+l.size)
			if from >= to {
				continue
			}
			at := r*l.size - base
			x, dy, dst := p.in[0][at+from:at+to], p.dout[at+from:at+to], sums[from:to]
			if !scale {
				for i, g := range dy {
					dst[i] += float64(g)
				}
				continue
			}
			mean, inverse := l.mean[r], l.inverse[r]
			for i, g := range dy {
				dst[i] += float64(g) * (float64(x[i]) - mean) * inverse
			}
		}
	})
}

// gather puts the sums into the gradient at the elements that they belong to.
func (a *scaling[T]) gather(dst []T) {
	from := a.sums
	if a.index != nil {
		clear(a.folded)
		for i, k := range a.index {
			a.folded[k] += a.sums[i]
		}
		from = a.folded
	}
	for i, v := range from {
		dst[i] = T(v)
	}
}
