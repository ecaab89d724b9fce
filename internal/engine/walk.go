package engine

import (
	"efcn/internal/kernel"
)

// walk visits elements of a source in the row-major order of a result: element
// i₀,i₁,… of the result is at base + Σ iₖ·strides[k]. Strides may be zero or
// negative.
type walk struct {
	base    int
	shape   []int // of the result
	strides []int // in the source
}

// merged joins axes that advance as one, and drops those of size 1.
func (w walk) merged() walk {
	m := walk{base: w.base}
	for i, d := range w.shape {
		if d == 1 {
			continue
		}
		last := len(m.shape) - 1
		if last >= 0 && m.strides[last] == w.strides[i]*d {
			m.shape[last] *= d
			m.strides[last] = w.strides[i]
			continue
		}
		m.shape = append(m.shape, d)
		m.strides = append(m.strides, w.strides[i])
	}
	return m
}

// rearranged returns a tensor whose elements are those of v that the walk visits.
func (x *exec[T]) rearranged(v *Tensor[T], shape []int, w walk) (*Tensor[T], error) {
	y, err := x.alloc(v.Type, shape)
	if err != nil {
		return nil, err
	}
	if v.Type.IsFloat() {
		copyWalk(y.F, v.F, w)
	} else {
		copyWalk(y.I, v.I, w)
	}
	return y, nil
}

// copyWalk fills dst, which has the walk's shape, from src. It runs in parallel.
func copyWalk[E any](dst, src []E, w walk) {
	w.each(func(out, n, at, step int) {
		d := dst[out : out+n]
		switch step {
		case 1:
			copy(d, src[at:at+n])
		case 0:
			v := src[at]
			for i := range d {
				d[i] = v
			}
		default:
			for i := range d {
				d[i] = src[at+i*step]
			}
		}
	})
}

// each calls row for every stretch of the result that advances evenly: n
// elements from out; element i is at at + i·step in the source.
func (w walk) each(row func(out, n, at, step int)) {
	if product(w.shape) == 0 {
		return
	}
	w = w.merged()
	last := len(w.shape) - 1
	if last < 0 {
		row(0, 1, w.base, 1)
		return
	}
	n, step := w.shape[last], w.strides[last]
	outer, strides := w.shape[:last], w.strides[:last]
	kernel.Parallel(product(outer), max(1, rowGrain/n), func(lo, hi int) {
		index := make([]int, len(outer))
		at := w.base
		for i, r := len(outer)-1, lo; i >= 0; i-- {
			index[i] = r % outer[i]
			r /= outer[i]
			at += index[i] * strides[i]
		}
		for r := lo; r < hi; r++ {
			row(r*n, n, at, step)
			for i := len(outer) - 1; i >= 0; i-- {
				index[i]++
				at += strides[i]
				if index[i] < outer[i] {
					break
				}
				at -= index[i] * strides[i]
				index[i] = 0
			}
		}
	})
}
