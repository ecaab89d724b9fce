package kernel

import "golang.org/x/sys/cpu"

// nhwcHere: this processor runs the code for arrays whose last axis is the channels.
var nhwcHere = vectorCode && cpu.X86.HasAVX512F

// snhwc12x32 computes a tile. It lets call escape, and so what it points to, for that
// to stay where it is: its offsets lead from one array to another.
func snhwc12x32(call *nhwcCall)

//go:noescape
func sdepthwise(call *depthwiseCall)
