// Package kernel holds the hot loops: products of dense and sparse matrices,
// convolution, locally connected layers, pooling, batch normalisation, softmax
// and their gradients, for float32 and float64.
//
// Start with Gemm; most of what is heavy goes through it. It runs on OpenBLAS
// where that is found at run time (no cgo), elsewhere on kernels of its own in
// assembly for AVX-512, AVX2 and NEON, and on gonum's BLAS on other processors;
// BLAS names the one in use. Arrays are slices, row-major, without gaps. A slice that is
// too short for the sizes given panics before anything is written.
//
// Everything here runs on Threads() goroutines. The work is cut by shape and
// thread count alone, never by timing, so a result repeats bit for bit on the
// same machine at the same thread count.
package kernel

//go:generate go run -C asm . csr
//go:generate go run -C asm . functions
//go:generate go run -C asm . local
//go:generate go run -C asm . nhwc
//go:generate go run -C asm . packed_thin
//go:generate go run -C asm . packed_tile
//go:generate go run -C asm . panels
//go:generate go run -C asm ./neon

// Float is the element type of every kernel.
type Float interface{ float32 | float64 }
