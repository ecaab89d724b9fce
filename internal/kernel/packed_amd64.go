package kernel

import (
	"unsafe"

	"golang.org/x/sys/cpu"
)

var (
	packedAVX512 = &packedBLAS{
		"efcn (AVX-512)", singleRoutines(12, 4, 32, sgemm12x32, singleColumns512),
		doubleRoutines(12, 4, 16, dgemm12x16, doubleColumns512),
	}
	packedAVX2 = &packedBLAS{
		"efcn (AVX2)", singleRoutines(6, 2, 16, sgemm6x16, singleColumns256),
		doubleRoutines(6, 2, 8, dgemm6x8, doubleColumns256),
	}
)

func singleRoutines(
	rows, unit, cols int, tile tileFunc[float32], columns *columnRoutines[float32],
) *routines[float32] {
	return &routines[float32]{
		rows: rows, rowUnit: unit, cols: cols, depth: 384, down: 240, across: 256, sharedLimit: 2 << 20,
		tile: tile, transpose4: stranspose4, dot: sdot, dot4: sdot4, axpy4: saxpy4, columns: columns,
	}
}

func doubleRoutines(
	rows, unit, cols int, tile tileFunc[float64], columns *columnRoutines[float64],
) *routines[float64] {
	return &routines[float64]{
		rows: rows, rowUnit: unit, cols: cols, depth: 256, down: 180, across: 192, sharedLimit: 1 << 20,
		tile: tile, transpose4: dtranspose4, dot: ddot, dot4: ddot4, axpy4: daxpy4, columns: columns,
	}
}

// packed returns the packed BLAS for this processor, or false if it has none.
func packed() (backend, bool) {
	switch {
	case cpu.X86.HasAVX512F && cpu.X86.HasAVX2 && cpu.X86.HasFMA:
		return packedAVX512, true
	case cpu.X86.HasAVX2 && cpu.X86.HasFMA:
		return packedAVX2, true
	}
	return nil, false
}

// The micro-kernels compute c = alpha·a·b + beta·c for one full tile of c; a
// and b are packed panels of k steps, k at least 1, and ldc counts elements.
// With beta = 0, c is not read. Only the first rows of the tile, at least 1 and
// rounded up to rowUnit, are computed and written. asm/tile.go writes them.

//go:noescape
func sgemm12x32(rows, k int, a, b, c *float32, ldc int, alpha, beta float32)

//go:noescape
func dgemm12x16(rows, k int, a, b, c *float64, ldc int, alpha, beta float64)

//go:noescape
func sgemm6x16(rows, k int, a, b, c *float32, ldc int, alpha, beta float32)

//go:noescape
func dgemm6x8(rows, k int, a, b, c *float64, ldc int, alpha, beta float64)

// copyRows copies rows of size bytes, a positive multiple of 4, from src to
// dst, srcStep and dstStep bytes apart. rows is at least 1.
//
//go:noescape
func copyRows(rows int, src unsafe.Pointer, srcStep int, dst unsafe.Pointer, dstStep, size int)
