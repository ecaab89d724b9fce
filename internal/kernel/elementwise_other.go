//go:build !amd64 && !arm64

package kernel

// vectorCode is false: there is none for this processor, and these functions are not
// called.
var vectorCode bool

func sscale(n int, factor, offset float32, src, dst *float32) {}

func sclip(n int, lo, hi float32, src, dst *float32) {}

func sadd(n int, a, b, dst *float32) {}

func smaximum(n int, a, b, dst *float32) {}

func severysecond(n int, src, dst *float32) {}

func staps(n, taps int, offsets *int, factors, src, dst *float32, bias float32) {}

func sterms64(count int, terms *term32, b, c *float32, beta float32) {}

func sterms16(count int, terms *term32, b, c *float32, beta float32) {}

func sgate(n int, out, grad, dst *float32) {}

func sgreatest(n int, a *float32, ai *int32, b *float32, bi *int32, dst *float32, index *int32) {}

func ssum8(n int, src *float32, sums *strands) {}

func ssquares8(n int, mean float64, src *float32, sums *strands) {}

func sproducts8(n int, mean float64, x, dy *float32, total, along *strands) {}

func snormalise8(n int, mean, factor, offset float32, src, dst *float32) {}

func sgradient8(n int, mean, slope, shift, factor float32, x, dy, dst *float32) {}
