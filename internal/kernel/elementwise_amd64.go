package kernel

import "golang.org/x/sys/cpu"

// vectorCode: this processor runs the functions of vector_code.go.
var vectorCode = cpu.X86.HasAVX2 && cpu.X86.HasFMA
