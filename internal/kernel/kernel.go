// Package kernel holds the hot loops: matrix products, convolution, pooling
// and their gradients, for float32 and float64.
package kernel

// Float is the element type of every kernel.
type Float interface{ float32 | float64 }
