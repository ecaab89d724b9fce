package kernel

import "math"

// BatchNorm normalises each channel of x, n×channels×size, by the mean and the
// variance that the channel has in this batch (BatchNormalization in training
// mode; Ioffe and Szegedy, arXiv 1502.03167): y = scale·(x−mean)/√(variance+eps)
// + bias. mean and variance, the biased one, are returned in slices of channels
// elements. x is not modified; y may be x.
func BatchNorm[T Float](n, channels, size int, x, scale, bias []T, eps float64, y, mean, variance []T) {
	count := float64(n * size)
	Parallel(channels, 1+1<<12/max(1, n*size), func(lo, hi int) {
		for c := lo; c < hi; c++ {
			// Two passes in float64: the variance must not drown in the
			// rounding of a large mean.
			var total, squares float64
			for image := range n {
				for _, v := range x[(image*channels+c)*size:][:size] {
					total += float64(v)
				}
			}
			mu := total / count
			for image := range n {
				for _, v := range x[(image*channels+c)*size:][:size] {
					d := float64(v) - mu
					squares += d * d
				}
			}
			mean[c], variance[c] = T(mu), T(squares/count)
			a := T(float64(scale[c]) / math.Sqrt(squares/count+eps))
			m, b := T(mu), bias[c]
			for image := range n {
				at := (image*channels + c) * size
				dst := y[at : at+size]
				for i, v := range x[at : at+size] {
					dst[i] = a*(v-m) + b
				}
			}
		}
	})
}

// BatchNormBackward computes dx, dscale and dbias, the gradients of BatchNorm
// at its three inputs, from dy, that at its output, and the mean and variance
// that it returned. All three are overwritten; dx may be dy.
func BatchNormBackward[T Float](n, channels, size int, x, dy, scale, mean, variance []T, eps float64, dx, dscale, dbias []T) {
	count := float64(n * size)
	Parallel(channels, 1+1<<12/max(1, n*size), func(lo, hi int) {
		for c := lo; c < hi; c++ {
			mu, inv := float64(mean[c]), 1/math.Sqrt(float64(variance[c])+eps)
			var total, along float64 // Σ dy and Σ dy·(x−mean)
			for image := range n {
				at := (image*channels + c) * size
				gs := dy[at : at+size]
				for i, v := range x[at : at+size] {
					total += float64(gs[i])
					along += float64(gs[i]) * (float64(v) - mu)
				}
			}
			dbias[c], dscale[c] = T(total), T(along*inv)
			// dx = scale·inv·(dy − mean(dy) − (x−mean)·inv²·mean(dy·(x−mean)))
			a := T(float64(scale[c]) * inv)
			shift, slope, m := T(total/count), T(along*inv*inv/count), T(mu)
			for image := range n {
				at := (image*channels + c) * size
				gs, dst := dy[at:at+size], dx[at:at+size]
				for i, v := range x[at : at+size] {
					dst[i] = a * (gs[i] - shift - (v-m)*slope)
				}
			}
		}
	})
}
