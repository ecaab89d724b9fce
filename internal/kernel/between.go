package kernel

// GateBetween computes dst = grad where out is above lo and below hi, or NaN, and 0
// elsewhere: the gradient at the input of Clip, whose output is out. dst, out and grad
// have equal lengths, or it panics; dst may be grad.
func GateBetween[T Float](dst, out, grad []T, lo, hi T) {
	sameLength(len(dst), len(out))
	sameLength(len(dst), len(grad))
	for i := betweenEights(dst, out, grad, lo, hi); i < len(out); i++ {
		g := grad[i]
		if v := out[i]; v <= lo || v >= hi {
			g = 0
		}
		dst[i] = g
	}
}
