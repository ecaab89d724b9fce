package kernel

import "golang.org/x/sys/cpu"

// functionsHere reports whether this processor runs the functions of asm/functions.go.
var functionsHere = vectorCode && cpu.X86.HasAVX512F

// They take n of at least 1 elements.

//go:noescape
func smul512(n int, a, b, dst *float32)

//go:noescape
func shardswish512(n int, src, dst *float32)

//go:noescape
func ssigmoid512(n int, src, dst *float32)
