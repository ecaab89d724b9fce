package kernel

// These take n in multiples of 8, and at least 8 elements. They compute what
// the functions of batchnorm.go do that call them.

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
