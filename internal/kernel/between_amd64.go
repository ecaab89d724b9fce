package kernel

// sbetween8 takes n in multiples of 8, and at least 8 elements.
//
//go:noescape
func sbetween8(n int, lo, hi float32, out, grad, dst *float32)

// betweenEights computes the first elements of GateBetween, and returns how many.
func betweenEights[T Float](dst, out, grad []T, lo, hi T) int {
	n, single := eights(out)
	if n > 0 {
		sbetween8(
			n, float32(lo), float32(hi), &single[0], &any(grad).([]float32)[0], &any(dst).([]float32)[0],
		)
	}
	return n
}
