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
			var totals, squares strands
			for image := range n {
				addValues(&totals, x[(image*channels+c)*size:][:size])
			}
			mu := totals.sum() / count
			for image := range n {
				addSquares(&squares, x[(image*channels+c)*size:][:size], mu)
			}
			v := squares.sum() / count
			mean[c], variance[c] = T(mu), T(v)
			a := T(float64(scale[c]) / math.Sqrt(v+eps))
			for image := range n {
				at := (image*channels + c) * size
				Normalise(y[at:at+size], x[at:at+size], T(mu), a, bias[c])
			}
		}
	})
}

// BatchNormBackward computes dx, dscale and dbias, the gradients of BatchNorm
// at its three inputs, from dy, that at its output, and the mean and variance
// that it returned. All three are overwritten; dx may be dy.
func BatchNormBackward[T Float](
	n, channels, size int, x, dy, scale, mean, variance []T, eps float64, dx, dscale, dbias []T,
) {
	count := float64(n * size)
	Parallel(channels, 1+1<<12/max(1, n*size), func(lo, hi int) {
		for c := lo; c < hi; c++ {
			mu, inv := float64(mean[c]), 1/math.Sqrt(float64(variance[c])+eps)
			var totals, alongs strands // Σ dy and Σ dy·(x−mean)
			for image := range n {
				at := (image*channels + c) * size
				addProducts(&totals, &alongs, x[at:at+size], dy[at:at+size], mu)
			}
			total, along := totals.sum(), alongs.sum()
			dbias[c], dscale[c] = T(total), T(along*inv)
			// dx = scale·inv·(dy − mean(dy) − (x−mean)·inv²·mean(dy·(x−mean)))
			a := T(float64(scale[c]) * inv)
			shift, slope := T(total/count), T(along*inv*inv/count)
			for image := range n {
				at := (image*channels + c) * size
				unnormalise(dx[at:at+size], x[at:at+size], dy[at:at+size], mean[c], slope, shift, a)
			}
		}
	})
}

// strands are the partial sums of a long sum: element i of every stretch is added to
// strand i mod 8. A processor computes them side by side, and vector code and plain
// code give the same bits.
type strands [8]float64

func (s *strands) sum() float64 {
	return ((s[0] + s[4]) + (s[1] + s[5])) + ((s[2] + s[6]) + (s[3] + s[7]))
}

// eights returns how many elements of x vector code takes, and x as it takes
// them.
func eights[T Float](x []T) (n int, single []float32) {
	if !vectorCode || len(x) < 8 {
		return 0, nil
	}
	if single, ok := any(x).([]float32); ok {
		return len(x) &^ 7, single
	}
	return 0, nil
}

// addValues adds a stretch to its sum.
func addValues[T Float](sums *strands, x []T) {
	n, single := eights(x)
	if n > 0 {
		ssum8(n, &single[0], sums)
	}
	for i, v := range x[n:] {
		sums[i&7] += float64(v)
	}
}

// addSquares adds the squares of what x is above mean.
func addSquares[T Float](sums *strands, x []T, mean float64) {
	n, single := eights(x)
	if n > 0 {
		ssquares8(n, mean, &single[0], sums)
	}
	for i, v := range x[n:] {
		d := float64(v) - mean
		sums[i&7] += float64(d * d) // not fused
	}
}

// addProducts adds g to total, and g·(x−mean) to along.
func addProducts[T Float](total, along *strands, x, g []T, mean float64) {
	n, single := eights(x)
	if n > 0 {
		sproducts8(n, mean, &single[0], &any(g).([]float32)[0], total, along)
	}
	for i, v := range x[n:] {
		u := float64(g[n+i])
		total[i&7] += u
		along[i&7] += float64(u * (float64(v) - mean))
	}
}

// Normalise computes dst = factor·(src − mean) + offset, rounding every step.
// dst and src have equal lengths, or it panics; dst may be src.
func Normalise[T Float](dst, src []T, mean, factor, offset T) {
	sameLength(len(dst), len(src))
	n, single := eights(src)
	if n > 0 {
		snormalise8(n, float32(mean), float32(factor), float32(offset), &single[0], &any(dst).([]float32)[0])
	}
	dst = dst[n:]
	for i, v := range src[n:] {
		dst[i] = T(factor*(v-mean)) + offset
	}
}

// unnormalise computes dst = factor·((g − shift) − slope·(x − mean)); dst may be
// g.
func unnormalise[T Float](dst, x, g []T, mean, slope, shift, factor T) {
	n, single := eights(x)
	if n > 0 {
		sgradient8(
			n, float32(mean), float32(slope), float32(shift), float32(factor), &single[0],
			&any(g).([]float32)[0], &any(dst).([]float32)[0],
		)
	}
	dst, g = dst[n:], g[n:]
	for i, v := range x[n:] {
		dst[i] = factor * ((g[i] - shift) - T(slope*(v-mean)))
	}
}
