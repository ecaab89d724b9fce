package kernel

import "math"

// The stages of BatchNorm and BatchNormBackward, for those who have some of the samples of
// a batch: sums over channels are of their samples, and added up over all before the next
// stage. x, y, dy and dx are n×channels×size; what is summed is in float64.

// BatchNormSums computes the sums of x, for the mean of each channel.
func BatchNormSums[T Float](n, channels, size int, x []T, sums []float64) {
	perChannel(n, channels, size, func(c int, planes func(visit func(lo, hi int))) {
		var totals strands
		planes(func(lo, hi int) { addValues(&totals, x[lo:hi]) })
		sums[c] = totals.sum()
	})
}

// BatchNormSquares computes the sums of the squares of x − mean, for the variance.
func BatchNormSquares[T Float](n, channels, size int, x []T, means, sums []float64) {
	perChannel(n, channels, size, func(c int, planes func(visit func(lo, hi int))) {
		var squares strands
		planes(func(lo, hi int) { addSquares(&squares, x[lo:hi], means[c]) })
		sums[c] = squares.sum()
	})
}

// BatchNormOutput computes y from the mean and the variance over all samples.
func BatchNormOutput[T Float](n, channels, size int, x, scale, bias []T, means, variances []float64, eps float64,
	y []T,
) {
	perChannel(n, channels, size, func(c int, planes func(visit func(lo, hi int))) {
		a := T(float64(scale[c]) / math.Sqrt(variances[c]+eps))
		planes(func(lo, hi int) { Normalise(y[lo:hi], x[lo:hi], T(means[c]), a, bias[c]) })
	})
}

// BatchNormProducts computes the sums of dy and of dy·(x − mean), for the gradients.
func BatchNormProducts[T Float](n, channels, size int, x, dy, mean []T, totals, alongs []float64) {
	perChannel(n, channels, size, func(c int, planes func(visit func(lo, hi int))) {
		var total, along strands
		planes(func(lo, hi int) { addProducts(&total, &along, x[lo:hi], dy[lo:hi], float64(mean[c])) })
		totals[c], alongs[c] = total.sum(), along.sum()
	})
}

// BatchNormGradient computes dx, which may be dy, from these sums over all samples, which
// have count elements in each channel.
func BatchNormGradient[T Float](n, channels, size, count int, x, dy, scale, mean, variance []T, eps float64,
	totals, alongs []float64, dx []T,
) {
	perChannel(n, channels, size, func(c int, planes func(visit func(lo, hi int))) {
		inv := 1 / math.Sqrt(float64(variance[c])+eps)
		a := T(float64(scale[c]) * inv)
		shift, slope := T(totals[c]/float64(count)), T(alongs[c]*inv*inv/float64(count))
		planes(func(lo, hi int) { unnormalise(dx[lo:hi], x[lo:hi], dy[lo:hi], mean[c], slope, shift, a) })
	})
}

// perChannel calls body for each channel, in parallel, with what visits where each sample
// has it.
func perChannel(n, channels, size int, body func(c int, planes func(visit func(lo, hi int)))) {
	Parallel(channels, 1+1<<12/max(1, n*size), func(lo, hi int) {
		for c := lo; c < hi; c++ {
			body(c, func(visit func(lo, hi int)) {
				for image := range n {
					at := (image*channels + c) * size
					visit(at, at+size)
				}
			})
		}
	})
}
