//go:build amd64 || arm64

package kernel

// What these compute, the functions of elementwise.go and batchnorm.go say that call
// them. n is at least 1.

//go:noescape
func sscale(n int, factor, offset float32, src, dst *float32)

//go:noescape
func sclip(n int, lo, hi float32, src, dst *float32)

//go:noescape
func sadd(n int, a, b, dst *float32)

//go:noescape
func smaximum(n int, a, b, dst *float32)

// severysecond reads src up to its element 2·(n-1).
//
//go:noescape
func severysecond(n int, src, dst *float32)

// staps takes n in multiples of tapLanes, and at least one tap.
//
//go:noescape
func staps(n, taps int, offsets *int, factors, src, dst *float32, bias float32)

//go:noescape
func sgate(n int, out, grad, dst *float32)

//go:noescape
func sgreatest(n int, a *float32, ai *int32, b *float32, bi *int32, dst *float32, index *int32)

// The five that follow take n in multiples of 8.

//go:noescape
func ssum8(n int, src *float32, sums *strands)

//go:noescape
func ssquares8(n int, mean float64, src *float32, sums *strands)

//go:noescape
func sproducts8(n int, mean float64, x, dy *float32, total, along *strands)

//go:noescape
func snormalise8(n int, mean, factor, offset float32, src, dst *float32)

//go:noescape
func sgradient8(n int, mean, slope, shift, factor float32, x, dy, dst *float32)

// sterms64 computes c = Σ factor·b[offset:] + beta·c over 64 columns and count terms,
// 0 among them. With beta = 0, c is not read.
//
//go:noescape
func sterms64(count int, terms *term32, b, c *float32, beta float32)

// sterms16 is sterms64 for 16 columns.
//
//go:noescape
func sterms16(count int, terms *term32, b, c *float32, beta float32)
