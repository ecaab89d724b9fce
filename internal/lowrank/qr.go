package lowrank

import (
	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/lapack/lapack64"

	"efcn/internal/kernel"
)

// blockElements is about how many numbers a step over the rows of a thin matrix takes:
// 1 MiB of them, which stay in a second-level cache.
const blockElements = 1 << 17

// orthonormalize puts orthonormal columns in the place of those of a [rows, k], k ≤ rows,
// and returns the upper triangle r [k, k] with which they give a back: a = q·r. The
// columns span those of a, and are orthonormal where a has not the rank k, too. The
// rows are cut by their number and k alone, so that threads do not change the result.
func orthonormalize(a []float64, rows, k int) (r []float64) {
	most := max(4*k, blockElements/k) // each step leaves at most half of the rows
	blocks := max(1, rows/most)
	if blocks == 1 {
		return householder(a, rows, k)
	}
	// bounds of block i; the last one has what is left over.
	bounds := func(i int) (lo, hi int) {
		if i == blocks-1 {
			return i * most, rows
		}
		return i * most, (i + 1) * most
	}
	triangles := make([]float64, blocks*k*k)
	kernel.Parallel(blocks, 1, func(first, last int) {
		for i := first; i < last; i++ {
			lo, hi := bounds(i)
			copy(triangles[i*k*k:], householder(a[lo*k:hi*k], hi-lo, k))
		}
	})
	r = orthonormalize(triangles, blocks*k, k)
	q := make([]float64, 2*most*k)
	for i := range blocks {
		lo, hi := bounds(i)
		kernel.Gemm(false, false, hi-lo, k, k, 1, a[lo*k:], k, triangles[i*k*k:], k, 0, q, k)
		copy(a[lo*k:hi*k], q)
	}
	return r
}

// householder is orthonormalize of one block, by LAPACK's reflections.
func householder(a []float64, rows, k int) (r []float64) {
	m := blas64.General{Rows: rows, Cols: k, Stride: k, Data: a}
	tau, size := make([]float64, k), make([]float64, 1)
	lapack64.Geqrf(m, tau, size, -1) // how much work space it wants
	work := make([]float64, int(size[0]))
	lapack64.Geqrf(m, tau, work, len(work))
	r = make([]float64, k*k)
	for i := range k {
		copy(r[i*k+i:(i+1)*k], a[i*k+i:(i+1)*k])
	}
	lapack64.Orgqr(m, tau, size, -1)
	if n := int(size[0]); n > len(work) {
		work = make([]float64, n)
	}
	lapack64.Orgqr(m, tau, work, len(work))
	return r
}
