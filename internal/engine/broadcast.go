package engine

import (
	"fmt"
	"slices"

	"efcn/internal/kernel"
)

// rowGrain is the least number of elements worth handing to another thread.
const rowGrain = 1 << 14

// broadcastShape returns the shape that shapes broadcast to (ONNX
// docs/Broadcasting.md, multidirectional).
func broadcastShape(shapes ...[]int) ([]int, error) {
	rank := 0
	for _, s := range shapes {
		rank = max(rank, len(s))
	}
	out := make([]int, rank)
	for i := range out {
		out[i] = 1
	}
	for _, s := range shapes {
		for i, d := range s {
			o := &out[rank-len(s)+i]
			switch {
			case *o == 1:
				*o = d
			case d != 1 && d != *o:
				return nil, fmt.Errorf("shapes %v do not broadcast; each dimension must be equal or 1", shapes)
			}
		}
	}
	return out, nil
}

// loops walks a broadcast result row by row. Axes over which every operand
// behaves alike are merged, so rows are as long as they can be.
type loops struct {
	dims    []int   // merged axes but the innermost
	strides [][]int // by operand, by axis of dims
	n       int     // length of a row
	steps   []int   // by operand: 1 if its row has n elements, 0 if it has one
}

// newLoops prepares the walk of operands, each broadcastable to out.
func newLoops(out []int, operands ...[]int) loops {
	k := len(operands)
	l := loops{n: 1, strides: make([][]int, k), steps: make([]int, k)}
	var dims []int
	var advance [][]bool // by merged axis, by operand: whether it moves along it
	for i, d := range out {
		if d == 1 {
			continue
		}
		moves := make([]bool, k)
		for j, s := range operands {
			at := i - (len(out) - len(s))
			moves[j] = at >= 0 && s[at] != 1
		}
		if last := len(dims) - 1; last >= 0 && slices.Equal(advance[last], moves) {
			dims[last] *= d
			continue
		}
		dims = append(dims, d)
		advance = append(advance, moves)
	}
	if len(dims) == 0 {
		return l
	}
	last := len(dims) - 1
	l.n, l.dims = dims[last], dims[:last]
	for j := range operands {
		run := 1
		if advance[last][j] {
			l.steps[j] = 1
			run = l.n
		}
		l.strides[j] = make([]int, last)
		for i := last - 1; i >= 0; i-- {
			if advance[i][j] {
				l.strides[j][i] = run
				run *= dims[i]
			}
		}
	}
	return l
}

// each calls row for every stretch of the result: n elements from out, the
// operands' from at[j], each n long if it moves and one long if it doesn't. It
// runs in parallel; row must not keep at.
func (l loops) each(row func(out, n int, at []int)) {
	rows := product(l.dims)
	if rows*l.n == 0 {
		return
	}
	if rows == 1 {
		kernel.Parallel(l.n, rowGrain, func(lo, hi int) {
			at := make([]int, len(l.steps))
			for j, s := range l.steps {
				at[j] = lo * s
			}
			row(lo, hi-lo, at)
		})
		return
	}
	kernel.Parallel(rows, max(1, rowGrain/l.n), func(lo, hi int) {
		at := make([]int, len(l.steps))
		index := make([]int, len(l.dims))
		for i, r := len(l.dims)-1, lo; i >= 0; i-- {
			index[i] = r % l.dims[i]
			r /= l.dims[i]
			for j := range at {
				at[j] += index[i] * l.strides[j][i]
			}
		}
		for r := lo; r < hi; r++ {
			row(r*l.n, l.n, at)
			for i := len(l.dims) - 1; i >= 0; i-- {
				index[i]++
				for j := range at {
					at[j] += l.strides[j][i]
				}
				if index[i] < l.dims[i] {
					break
				}
				for j := range at {
					at[j] -= index[i] * l.strides[j][i]
				}
				index[i] = 0
			}
		}
	})
}

// span returns the part of an operand's elements that a row of n reads.
func (l loops) span(j, at, n int) (lo, hi int) {
	if l.steps[j] == 0 {
		n = 1
	}
	return at, at + n
}

// zip computes dst from two operands that broadcast to it. row's operands are as
// long as its result, or have one element that stands for all.
func zip[E, R any](dst []R, shape []int, a []E, shapeA []int, b []E, shapeB []int, row func(dst []R, a, b []E)) {
	l := newLoops(shape, shapeA, shapeB)
	l.each(func(out, n int, at []int) {
		alo, ahi := l.span(0, at[0], n)
		blo, bhi := l.span(1, at[1], n)
		row(dst[out:out+n], a[alo:ahi], b[blo:bhi])
	})
}

// rows makes a row function for zip of a function of two elements.
func rows[E, R any](f func(a, b E) R) func(dst []R, a, b []E) {
	return func(dst []R, a, b []E) {
		sa, sb := 1, 1
		if len(a) == 1 {
			sa = 0
		}
		if len(b) == 1 {
			sb = 0
		}
		for i := range dst {
			dst[i] = f(a[i*sa], b[i*sb])
		}
	}
}
