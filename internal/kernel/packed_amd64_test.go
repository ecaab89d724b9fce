package kernel

import "golang.org/x/sys/cpu"

// packedHere are the instruction sets that this machine has.
func packedHere() []backend {
	var list []backend
	if cpu.X86.HasAVX512F {
		list = append(list, packedAVX512)
	}
	if cpu.X86.HasAVX2 && cpu.X86.HasFMA {
		list = append(list, packedAVX2)
	}
	return list
}
