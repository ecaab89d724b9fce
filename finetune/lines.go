package finetune

import "efcn/internal/kernel"

// lines are those of outer×count×inner elements along the axis in the middle.
type lines struct{ outer, count, inner int }

// linesAlong returns the lines of a tensor along an axis.
func linesAlong(shape []int, axis int) lines {
	return lines{product(shape[:axis]), shape[axis], product(shape[axis+1:])}
}

// each calls body, in parallel, for each line: its elements are at, at+inner and so
// on, before end.
func (l lines) each(body func(at, end int)) {
	// An element of a line costs a few times what one of a long loop does.
	kernel.Parallel(l.outer*l.inner, 1+elementGrain/8/max(1, l.count), func(lo, hi int) {
		for k := lo; k < hi; k++ {
			at := k/l.inner*l.count*l.inner + k%l.inner
			body(at, at+l.count*l.inner)
		}
	})
}
