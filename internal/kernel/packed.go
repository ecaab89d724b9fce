//go:build amd64 || arm64

package kernel

import "sync"

// packedBLAS multiplies with the micro-kernels of this package, in the manner of
// GotoBLAS and BLIS (Van Zee and van de Geijn, ACM TOMS 41(3), 2015): operands
// are copied into panels, in which a kernel that keeps a tile of c in registers
// reads straight on. See packed_product.go for the blocking.
type packedBLAS struct {
	name   string
	single *routines[float32]
	double *routines[float64]
}

// routines are the functions of an instruction set for one precision, with the
// sizes that suit them.
type routines[T Float] struct {
	// rows and cols are those of the tile of c that the micro-kernel computes.
	rows, cols int
	// rowUnit divides rows: of a tile that c does not fill, the micro-kernel
	// computes the rows in use, rounded up to this.
	rowUnit int
	// depth is how many steps of k are packed at a time: a panel of a, rows
	// wide, has to stay in the first-level cache (32 KiB) beside the stream of b.
	depth int
	// down and across are how many rows of a and columns of b are packed at a
	// time: a block of either is to stay in half a second-level cache (1 MiB).
	down, across int
	// sharedLimit bounds the elements held at a time of the operand that is packed for
	// all threads: 8 MiB, a part of a third-level cache.
	sharedLimit int

	tile       tileFunc[T]
	transpose4 func(k int, src *T, ld int, dst *T, step int)
	dot        func(k int, x, y, sum *T)
	dot4       func(k int, x *T, ldx int, y, sums *T)
	axpy4      func(n int, factors, x *T, ldx int, y *T)
	columns    *columnRoutines[T] // nil where there are none

	calls sync.Pool // of *gemmCall[T]
}

type tileFunc[T Float] func(rows, k int, a, b, c *T, ldc int, alpha, beta T)

func (p *packedBLAS) String() string { return p.name }

// tile: packed panels are shared between the threads, so it cuts by itself.
func (*packedBLAS) tile(m, n, _ int) (rows, cols int) { return m, n }

func (p *packedBLAS) sgemm(
	threads int, transA, transB bool, m, n, k int,
	alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int,
) {
	p.single.gemm(threads, transA, transB, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)
}

func (p *packedBLAS) dgemm(
	threads int, transA, transB bool, m, n, k int,
	alpha float64, a []float64, lda int, b []float64, ldb int, beta float64, c []float64, ldc int,
) {
	p.double.gemm(threads, transA, transB, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)
}

// stranspose4 copies four lines of k elements, k at least 1 and the lines ld
// apart, to columns: element p of line i goes to dst[p·step+i].
//
//go:noescape
func stranspose4(k int, src *float32, ld int, dst *float32, step int)

// dtranspose4 is stranspose4 for float64.
//
//go:noescape
func dtranspose4(k int, src *float64, ld int, dst *float64, step int)

// sdot4 writes to sums the four dot products of the lines of x, ldx apart, with
// y; all have k elements, k at least 1.
//
//go:noescape
func sdot4(k int, x *float32, ldx int, y, sums *float32)

// ddot4 is sdot4 for float64.
//
//go:noescape
func ddot4(k int, x *float64, ldx int, y, sums *float64)

// sdot writes to sum the dot product of x and y, which have k elements, k at
// least 1.
//
//go:noescape
func sdot(k int, x, y, sum *float32)

// ddot is sdot for float64.
//
//go:noescape
func ddot(k int, x, y, sum *float64)

// saxpy4 adds to y the four lines of x, ldx apart, each times its factor; all
// have n elements, n at least 1.
//
//go:noescape
func saxpy4(n int, factors, x *float32, ldx int, y *float32)

// daxpy4 is saxpy4 for float64.
//
//go:noescape
func daxpy4(n int, factors, x *float64, ldx int, y *float64)

// columnRoutines are what a product of columns takes beside routines.
type columnRoutines[T Float] struct {
	lanes int // of a vector; a panel is two wide
	rows  int // of a tile of sums
	// gather copies n elements of src from offsets[step] on to a panel, for each of k
	// steps. n is from 1 to lanes.
	gather func(k int, offsets *int, src, dst *T, n int)
	// outer adds to a tile of sums the products of what its rows read in an image, from
	// offsets[row] on, and of vectors of dy, at each position of some lines.
	// outerHalf is for vectors of which only the first half is in use.
	outer, outerHalf func(lines, width, pitch int, offsets *int, src, dy, sums *T)
	// along adds to nine vectors of sums the products of n elements of dy with those of
	// src from nine offsets on.
	along func(n int, offsets *int, src, dy, sums *T)

	inputs, weights sync.Pool // of *inputGradient[T] and *weightGradient[T]
}
