package kernel

import "golang.org/x/sys/cpu"

// csrCodes are the codes of a sparse matrix that run here; nil is the plain one.
func csrCodes[T Float]() map[string]*csrCode[T] {
	codes := map[string]*csrCode[T]{"plain": nil}
	add := func(name string, s *csrCode[float32], d *csrCode[float64]) {
		if code, ok := any(s).(*csrCode[T]); ok {
			codes[name] = code
		} else {
			codes[name] = any(d).(*csrCode[T])
		}
	}
	if cpu.X86.HasAVX512F {
		add("AVX-512", scsr512, dcsr512)
	}
	if cpu.X86.HasAVX2 && cpu.X86.HasFMA {
		add("AVX2", scsr256, dcsr256)
	}
	return codes
}
