package engine

import (
	"efcn/internal/kernel"
)

// onLines runs f on every line of src along an axis of n elements: the tensor
// seen as outer×n×inner. f writes the line of the result, which may have another
// length m; dst is outer×m×inner. It runs in parallel.
func onLines[E, R any](dst []R, src []E, outer, n, m, inner int, f func(dst []R, src []E)) {
	if len(dst) == 0 {
		return
	}
	kernel.Parallel(outer*inner, max(1, rowGrain/8/max(n, m, 1)), func(lo, hi int) {
		if inner == 1 {
			for o := lo; o < hi; o++ {
				f(dst[o*m:(o+1)*m], src[o*n:(o+1)*n])
			}
			return
		}
		line, result := make([]E, n), make([]R, m)
		for k := lo; k < hi; k++ {
			o, i := k/inner, k%inner
			for j := range line {
				line[j] = src[(o*n+j)*inner+i]
			}
			f(result, line)
			for j, v := range result {
				dst[(o*m+j)*inner+i] = v
			}
		}
	})
}

// alongAxis allocates a result of the type and shape of v, and splits that at an axis as
// around does.
func (x *exec[T]) alongAxis(v *Tensor[T], axis int64) (y *Tensor[T], outer, n, inner int, err error) {
	a, err := axisIndex(axis, len(v.Shape))
	if err != nil {
		return nil, 0, 0, 0, err
	}
	outer, n, inner = around(v.Shape, a)
	y, err = x.like(v)
	return y, outer, n, inner, err
}

// around splits a shape at an axis: the product before it, its size, the product
// after it.
func around(shape []int, axis int) (outer, n, inner int) {
	return product(shape[:axis]), shape[axis], product(shape[axis+1:])
}
