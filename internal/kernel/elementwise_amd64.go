package kernel

import "golang.org/x/sys/cpu"

// vectorCode: this processor runs the functions below. They take n of at least 1
// elements.
var vectorCode = cpu.X86.HasAVX2 && cpu.X86.HasFMA

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
