package kernel

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// The stages come to the bits of the functions that do all at once, and over the halves of
// a batch near them.
func TestBatchNormStages(t *testing.T) {
	const n, channels, size, eps = 6, 3, 11, 1e-3
	rng := rand.New(rand.NewPCG(5, 6))
	x, dy := narrow(random[float64](rng, n*channels*size)), narrow(random[float64](rng, n*channels*size))
	scale, bias := narrow(random[float64](rng, channels)), narrow(random[float64](rng, channels))
	like := func(v []float32) []float32 { return make([]float32, len(v)) }
	y, mean, variance, dx, dscale, dbias := like(x), like(scale), like(scale), like(x), like(scale), like(scale)
	BatchNorm(n, channels, size, x, scale, bias, eps, y, mean, variance)
	BatchNormBackward(n, channels, size, x, dy, scale, mean, variance, eps, dx, dscale, dbias)
	for _, bounds := range [][]int{{0, n}, {0, 2, n}} {
		// over adds up what each part of the batch sums.
		over := func(sum func(n, from, until int, sums []float64)) []float64 {
			total, part := make([]float64, 2*channels), make([]float64, 2*channels)
			for i, first := range bounds[:len(bounds)-1] {
				sum(bounds[i+1]-first, first*channels*size, bounds[i+1]*channels*size, part)
				for c, v := range part {
					total[c] += v
				}
			}
			return total
		}
		count := float64(n * size)
		means := over(func(n, from, until int, sums []float64) { BatchNormSums(n, channels, size, x[from:until], sums) })
		for c := range channels {
			means[c] /= count
		}
		variances := over(func(n, from, until int, sums []float64) {
			BatchNormSquares(n, channels, size, x[from:until], means, sums)
		})
		mean32, variance32 := like(mean), like(variance)
		for c := range channels {
			variances[c] /= count
			mean32[c], variance32[c] = float32(means[c]), float32(variances[c])
		}
		products := over(func(n, from, until int, sums []float64) {
			BatchNormProducts(n, channels, size, x[from:until], dy[from:until], mean32, sums[:channels], sums[channels:])
		})
		gotY, gotX := like(y), like(dx)
		BatchNormOutput(n, channels, size, x, scale, bias, means, variances, eps, gotY)
		BatchNormGradient(n, channels, size, n*size, x, dy, scale, mean32, variance32, eps, products[:channels],
			products[channels:], gotX)
		if len(bounds) == 2 && (!slices.Equal(gotY, y) || !slices.Equal(gotX, dx)) {
			t.Error("the stages come to other bits")
		}
		// One more rounding of float64 in each sum, and then the last bit of a float32.
		near(t, "y", wide(gotY), wide(y), 1e-6)
		near(t, "dx", wide(gotX), wide(dx), 1e-6)
	}
}
