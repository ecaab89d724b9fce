package kernel

import "unsafe"

// packedNEON is for vectors of 128 bits, which all processors for arm64 have. down
// and across are multiples of a tile's rows and columns: blocks hold whole tiles.
var packedNEON = &packedBLAS{
	"efcn (NEON)",
	&routines[float32]{
		rows: 8, rowUnit: 4, cols: 12, depth: 384, down: 240, across: 252, sharedLimit: 2 << 20,
		tile: sgemm8x12, transpose4: stranspose4, dot: sdot, dot4: sdot4, axpy4: saxpy4,
	},
	&routines[float64]{
		rows: 8, rowUnit: 4, cols: 6, depth: 256, down: 176, across: 192, sharedLimit: 1 << 20,
		tile: dgemm8x6, transpose4: dtranspose4, dot: ddot, dot4: ddot4, axpy4: daxpy4,
	},
}

func packed() (backend, bool) { return packedNEON, true }

// The micro-kernels are as those in packed_amd64.go; asm/neon/packed.go writes them.

//go:noescape
func sgemm8x12(rows, k int, a, b, c *float32, ldc int, alpha, beta float32)

//go:noescape
func dgemm8x6(rows, k int, a, b, c *float64, ldc int, alpha, beta float64)

// copyRows copies rows of size bytes from src to dst, srcStep and dstStep bytes
// apart.
func copyRows(rows int, src unsafe.Pointer, srcStep int, dst unsafe.Pointer, dstStep, size int) {
	for r := range rows {
		copy(
			unsafe.Slice((*byte)(unsafe.Add(dst, r*dstStep)), size),
			unsafe.Slice((*byte)(unsafe.Add(src, r*srcStep)), size),
		)
	}
}
