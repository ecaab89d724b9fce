package kernel

import "golang.org/x/sys/cpu"

// localCodes are the codes of a locally connected layer that run here; nil is
// the plain one.
func localCodes[T Float]() map[string]*localCode[T] {
	codes := map[string]*localCode[T]{"plain": nil}
	add := func(name string, s *localCode[float32], d *localCode[float64]) {
		if code, ok := any(s).(*localCode[T]); ok {
			codes[name] = code
		} else {
			codes[name] = any(d).(*localCode[T])
		}
	}
	if cpu.X86.HasAVX512F {
		add("AVX-512", slocal512, dlocal512)
	}
	if cpu.X86.HasAVX2 && cpu.X86.HasFMA {
		add("AVX2", slocal256, dlocal256)
	}
	return codes
}
