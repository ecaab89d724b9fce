package kernel

// The functions of asm/functions.go take n of at least 1 elements, and AVX-512 as nhwcHere
// tells.

//go:noescape
func smul512(n int, a, b, dst *float32)

//go:noescape
func shardswish512(n int, src, dst *float32)

//go:noescape
func ssigmoid512(n int, src, dst *float32)
