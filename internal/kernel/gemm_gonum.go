package kernel

import (
	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/gonum"
)

// gonumBLAS multiplies with gonum's BLAS, plain Go with a little assembly. It
// takes 0·NaN and 0·Inf for 0 where the zero is in a.
type gonumBLAS struct{ gonum.Implementation }

func (gonumBLAS) String() string { return "gonum" }

// tile: gonum works on blocks of 64×64 and starts goroutines of its own from
// four blocks up, whatever SetThreads says; pieces of three blocks stay below.
func (gonumBLAS) tile(_, _, _ int) (rows, cols int) { return 64, 192 }

func (g gonumBLAS) sgemm(
	_ int, transA, transB bool, m, n, k int,
	alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int,
) {
	gonumGemm(g.Sgemm, transA, transB, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)
}

func (g gonumBLAS) dgemm(
	_ int, transA, transB bool, m, n, k int,
	alpha float64, a []float64, lda int, b []float64, ldb int, beta float64, c []float64, ldc int,
) {
	gonumGemm(g.Dgemm, transA, transB, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)
}

// gonumGemm multiplies tile by tile.
func gonumGemm[T Float](
	gemm func(transA, transB blas.Transpose, m, n, k int, alpha T, a []T, lda int, b []T, ldb int, beta T, c []T, ldc int),
	transA, transB bool, m, n, k int,
	alpha T, a []T, lda int, b []T, ldb int, beta T, c []T, ldc int,
) {
	for r := 0; r < m; r += 64 {
		pa := shiftRows(transA, a, r, lda)
		for s := 0; s < n; s += 192 {
			gemm(
				op(transA), op(transB), min(64, m-r), min(192, n-s), k, alpha, pa, lda,
				shiftRows(!transB, b, s, ldb), ldb, beta, c[r*ldc+s:], ldc,
			)
		}
	}
}

func op(trans bool) blas.Transpose {
	if trans {
		return blas.Trans
	}
	return blas.NoTrans
}

// shiftRows returns the matrix that starts i rows below a, or, if a is stored
// transposed, i columns to its right.
func shiftRows[T Float](transposed bool, a []T, i, ld int) []T {
	if transposed {
		return a[i:]
	}
	return a[i*ld:]
}
