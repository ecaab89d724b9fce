package kernel

import (
	"fmt"
	"os"
	"sync"
)

// backend is a BLAS. Its two methods multiply on at most threads goroutines;
// they take the arguments of Gemm, checked, with m, n and k at least 1.
type backend interface {
	sgemm(
		threads int, transA, transB bool, m, n, k int,
		alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int,
	)
	dgemm(
		threads int, transA, transB bool, m, n, k int,
		alpha float64, a []float64, lda int, b []float64, ldb int, beta float64, c []float64, ldc int,
	)
	// tile returns the rows and columns of the pieces into which Gemm cuts an m×n
	// product. Pieces go to the backend from several goroutines at once, each for
	// one thread. A backend that shares the work among threads by itself returns m
	// and n.
	tile(m, n, k int) (rows, cols int)
	String() string
}

// loadBackend chooses the backend, once, at the first use of Gemm or BLAS.
var loadBackend = sync.OnceValue(func() backend {
	return chooseBackend(os.Getenv("EFCN_OPENBLAS"))
})

// BLAS names the BLAS that multiplies, but for products of few rows: "OpenBLAS 0.3.21 ...
// (file)"; "efcn (AVX-512)" or "efcn (AVX2)", the kernels of this package for amd64; "efcn
// (NEON)", those for arm64; or "gonum". The environment variable EFCN_OPENBLAS chooses:
// "off" for no OpenBLAS, otherwise the path of its library; unset, it is looked for under
// its usual names. Without OpenBLAS the kernels of this package multiply, and gonum on
// processors for which there are none.
func BLAS() string { return loadBackend().String() }

// Gemm computes c = alpha·op(a)·op(b) + beta·c, where op(a) is m×k, op(b) is
// k×n and c is m×n, all row-major with leading dimensions lda, ldb, ldc; op
// transposes where transA or transB is set, so a is stored k×m with transA and
// b n×k with transB. With beta = 0, c is written without being read: NaN in it
// does not matter. It panics if a leading dimension is shorter than a row or a
// slice too short. c must not overlap a or b.
func Gemm[T Float](transA, transB bool, m, n, k int, alpha T, a []T, lda int, b []T, ldb int, beta T, c []T, ldc int) {
	multiply(backendFor(m, n), transA, transB, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)
}

// fewRows is up to how many rows, or columns, of a result the kernels of this package
// multiply even where OpenBLAS is found: it copies all of the other operand, which takes
// longer than to multiply with it where it lies.
const fewRows = 4

// backendFor returns what computes a product of m rows and n columns.
func backendFor(m, n int) backend {
	if min(m, n) <= fewRows {
		if own, ok := packed(); ok {
			return own
		}
	}
	return loadBackend()
}

func multiply[T Float](
	blas backend, transA, transB bool, m, n, k int,
	alpha T, a []T, lda int, b []T, ldb int, beta T, c []T, ldc int,
) {
	checkGemm(transA, transB, m, n, k, len(a), lda, len(b), ldb, len(c), ldc)
	if withoutTerms(m, n, k, alpha, beta, c, ldc) {
		return
	}
	threads, rows, cols := 1, m, n
	if m*n*k > 1<<15 {
		threads = Threads()
	}
	if threads > 1 {
		rows, cols = blas.tile(m, n, k)
	}
	if rows >= m && cols >= n {
		piece(blas, threads, transA, transB, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)
		return
	}
	down, across := (m+rows-1)/rows, (n+cols-1)/cols
	Parallel(down*across, 1, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			r, s := i/across*rows, i%across*cols
			pa, pb := shiftRows(transA, a, r, lda), shiftRows(!transB, b, s, ldb)
			piece(
				blas, 1, transA, transB, min(rows, m-r), min(cols, n-s), k, alpha, pa,
				lda, pb, ldb, beta, c[r*ldc+s:], ldc,
			)
		}
	})
}

// gemmSerial is Gemm on the caller's thread, for loops that are already parallel.
// It checks nothing.
func gemmSerial[T Float](
	transA, transB bool, m, n, k int,
	alpha T, a []T, lda int, b []T, ldb int, beta T, c []T, ldc int,
) {
	if m == 0 || n == 0 {
		return
	}
	if k == 0 {
		scaleRows(m, n, beta, c, ldc)
		return
	}
	piece(loadBackend(), 1, transA, transB, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)
}

func piece[T Float](
	blas backend, threads int, transA, transB bool, m, n, k int,
	alpha T, a []T, lda int, b []T, ldb int, beta T, c []T, ldc int,
) {
	switch c := any(c).(type) {
	case []float32:
		blas.sgemm(
			threads, transA, transB, m, n, k, float32(alpha), any(a).([]float32), lda,
			any(b).([]float32), ldb, float32(beta), c, ldc,
		)
	case []float64:
		blas.dgemm(
			threads, transA, transB, m, n, k, float64(alpha), any(a).([]float64), lda,
			any(b).([]float64), ldb, float64(beta), c, ldc,
		)
	}
}

// withoutTerms does all of Gemm where c is empty or the product is zero, and reports
// whether that is so.
func withoutTerms[T Float](m, n, k int, alpha, beta T, c []T, ldc int) bool {
	if m == 0 || n == 0 {
		return true
	}
	if k != 0 && alpha != 0 {
		return false
	}
	scaleRows(m, n, beta, c, ldc)
	return true
}

// scaleRows is Gemm where the product is zero.
func scaleRows[T Float](m, n int, beta T, c []T, ldc int) {
	for i := range m {
		row := c[i*ldc : i*ldc+n]
		if beta == 0 {
			clear(row)
			continue
		}
		for j := range row {
			row[j] *= beta
		}
	}
}

func checkGemm(transA, transB bool, m, n, k, lenA, lda, lenB, ldb, lenC, ldc int) {
	if m < 0 || n < 0 || k < 0 {
		panic(fmt.Sprintf("kernel: gemm of %d×%d×%d", m, n, k))
	}
	check := func(name string, trans bool, rows, cols, length, ld int) {
		if trans {
			rows, cols = cols, rows
		}
		if ld < max(cols, 1) {
			panic(fmt.Sprintf("kernel: gemm: leading dimension of %s is %d, its rows have %d", name, ld, cols))
		}
		if rows > 0 && cols > 0 && length < (rows-1)*ld+cols {
			panic(fmt.Sprintf(
				"kernel: gemm: %s has %d elements, %d×%d at leading dimension %d takes %d", name,
				length, rows, cols, ld, (rows-1)*ld+cols,
			))
		}
	}
	check("a", transA, m, k, lenA, lda)
	check("b", transB, k, n, lenB, ldb)
	check("c", false, m, n, lenC, ldc)
}
