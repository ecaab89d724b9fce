// Package lowrank finds the leading singular values and vectors of a matrix that is
// known by its products only: a matrix read from a file block by block, or the gradient
// of a layer over many images, which is never formed.
//
// Start with [Leading]: an [Operator] multiplies blocks of vectors with A and with Aᵀ,
// and U·diag(S)·Vᵀ comes back. It is the randomised subspace iteration of Halko,
// Martinsson and Tropp (arXiv 0909.4061, algorithms 4.4 and 5.1), in float64 throughout.
//
// # Orthonormal columns
//
// A block of rows after the other is decomposed by Householder reflections, and then
// what is left of all of them (TSQR, Demmel and others, arXiv 0808.2664). That gives
// orthonormal columns for every matrix, also for one of less than full rank, where
// CholeskyQR2 fails: a matrix whose singular values fall by 10⁸ is the usual case here,
// not the exception. It is slower for a thin matrix, and little beside the products.
package lowrank

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"

	"gonum.org/v1/gonum/mat"

	"efcn/internal/kernel"
)

// Operator is a matrix A that is known by its products. Blocks of k vectors are
// row-major: x is [cols, k], y is [rows, k]. Both methods write all of dst, and may be
// called again with other blocks.
type Operator interface {
	// Dims returns the rows and columns of A.
	Dims() (rows, cols int)
	// Mul computes dst [rows, k] = A·x.
	Mul(ctx context.Context, dst, x []float64, k int) error
	// MulT computes dst [cols, k] = Aᵀ·y.
	MulT(ctx context.Context, dst, y []float64, k int) error
}

// Options say how the leading singular triples are looked for. The zero value has the
// defaults.
type Options struct {
	// Seed of the random vectors that the iteration begins with.
	Seed uint64
	// Oversample is how many vectors more than the rank are iterated. Default 0: 8.
	Oversample int
	// Power is how many rounds of a product with A and one with Aᵀ follow the first
	// one, at most. Default 0: 2.
	Power int
	// Tolerance ends the rounds where none of the singular values that are asked for
	// rose by more than this share of the largest. Default 0: all rounds are done.
	Tolerance float64
}

func (o Options) withDefaults() Options {
	if o.Oversample <= 0 {
		o.Oversample = 8
	}
	if o.Power <= 0 {
		o.Power = 2
	}
	return o
}

// SVD are leading singular triples: A is about U·diag(S)·Vᵀ.
type SVD struct {
	U []float64 // [rows, len(S)], row-major, columns orthonormal
	S []float64 // descending, not negative
	V []float64 // [cols, len(S)], row-major, columns orthonormal
}

// ErrNotFinite says that a product with the matrix has an element that is NaN or
// infinite.
var ErrNotFinite = errors.New("lowrank: the matrix is not finite")

// Leading returns the rank leading singular triples of a matrix, or as many as it has
// rows or columns if those are fewer. They are exact, but for rounding, where rank and
// Oversample together reach the rows or the columns, or the rank of the matrix; else S
// is a little low, and ‖A‖² − ‖S‖² is exactly what U·diag(S)·Vᵀ leaves of A.
//
// They follow from the seed, bit for bit and at any number of threads if the products of
// the operator do (and if [kernel.Gemm] does, as that of this module: an OpenBLAS may
// round differently at another number of threads). What is held is (rank + Oversample)·
// (rows + columns) numbers.
func Leading(ctx context.Context, a Operator, rank int, o Options) (*SVD, error) {
	rows, cols := a.Dims()
	if rank < 1 {
		return nil, fmt.Errorf("lowrank: rank %d; want at least 1", rank)
	}
	o = o.withDefaults()
	rank = min(rank, rows, cols)
	if rank == 0 {
		return &SVD{}, nil
	}
	most := min(rows, cols)
	k := min(rank+o.Oversample, most)
	left, right := make([]float64, rows*k), make([]float64, cols*k)
	rng := rand.New(rand.NewPCG(o.Seed, uint64(k)))
	for i := range right {
		right[i] = rng.NormFloat64()
	}
	var before []float64
	for round := 0; ; round++ {
		if err := product(ctx, a.Mul, left, right, k); err != nil {
			return nil, err
		}
		orthonormalize(left, rows, k)
		if err := product(ctx, a.MulT, right, left, k); err != nil {
			return nil, err
		}
		// A is about left·leftᵀ·A = left·(right·r)ᵀ from here on.
		r := orthonormalize(right, cols, k)
		var small mat.SVD
		if !small.Factorize(mat.NewDense(k, k, r), mat.SVDFull) {
			return nil, errors.New("lowrank: the singular values of a small matrix were not found")
		}
		s := small.Values(nil)[:rank]
		if k < most && round < o.Power && !settled(before, s, o.Tolerance) {
			before = s
			continue
		}
		var p, w mat.Dense // r = p·diag(s)·wᵀ
		small.UTo(&p)
		small.VTo(&w)
		return &SVD{U: rotate(left, rows, k, &w, rank), S: s, V: rotate(right, cols, k, &p, rank)}, nil
	}
}

// product multiplies, and reports numbers that are not finite.
func product(
	ctx context.Context, multiply func(ctx context.Context, dst, x []float64, k int) error, dst, x []float64, k int,
) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := multiply(ctx, dst, x, k); err != nil {
		return err
	}
	for _, v := range dst {
		if v-v != 0 {
			return ErrNotFinite
		}
	}
	return nil
}

// settled reports whether no singular value rose by more than a share of the largest.
func settled(before, now []float64, tolerance float64) bool {
	if before == nil || tolerance == 0 {
		return false
	}
	for i, s := range now {
		if math.Abs(s-before[i]) > tolerance*now[0] {
			return false
		}
	}
	return true
}

// rotate returns the first columns of q·w, q [rows, k] and w [k, k], in the memory of q.
func rotate(q []float64, rows, k int, w *mat.Dense, columns int) []float64 {
	by := w.RawMatrix()
	step := 1 + blockElements/k
	part := make([]float64, step*columns)
	for r := 0; r < rows; r += step {
		n := min(step, rows-r)
		kernel.Gemm(false, false, n, columns, k, 1, q[r*k:], k, by.Data, by.Stride, 0, part, columns)
		copy(q[r*columns:], part[:n*columns]) // rows that were read already
	}
	return q[: rows*columns : rows*columns]
}
