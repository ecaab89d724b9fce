package kernel

import "math"

// Mul computes dst = a·b, of slices of one length; dst may be either.
func Mul[T Float](dst, a, b []T) {
	sameLength(len(dst), len(a))
	sameLength(len(dst), len(b))
	if d, s, ok := vectors512(dst, a); ok {
		smul512(len(d), &s[0], &any(b).([]float32)[0], &d[0])
		return
	}
	for i, v := range a {
		dst[i] = v * b[i]
	}
}

// HardSwish computes dst = src·max(0, min(1, src/6 + 0.5)); NaN stays.
func HardSwish[T Float](dst, src []T) {
	sameLength(len(dst), len(src))
	if d, s, ok := vectors512(dst, src); ok {
		shardswish512(len(d), &s[0], &d[0])
		return
	}
	for i, v := range src {
		dst[i] = v * max(0, min(1, v/6+0.5))
	}
}

// Sigmoid computes dst = 1/(1+exp(−src)), where there is vector code to 4 units in the
// last place and 1e-38, which is the least number that is not subnormal; elsewhere it
// rounds the function in float64.
func Sigmoid[T Float](dst, src []T) {
	sameLength(len(dst), len(src))
	if d, s, ok := vectors512(dst, src); ok {
		ssigmoid512(len(d), &s[0], &d[0])
		return
	}
	for i, v := range src {
		// exp of a number that isn't positive can't overflow.
		e := math.Exp(-math.Abs(float64(v)))
		if v < 0 {
			dst[i] = T(e / (1 + e))
		} else {
			dst[i] = T(1 / (1 + e))
		}
	}
}

// vectors512 is vectors for code that takes AVX-512.
func vectors512[T Float](dst, src []T) (d, s []float32, ok bool) {
	if !functionsHere {
		return nil, nil, false
	}
	return vectors(dst, src)
}
