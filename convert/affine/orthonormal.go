package affine

import (
	"crypto/sha256"
	"encoding/binary"
	"io"
	"math"
	"math/rand/v2"
)

// WriteOrthonormal writes rows orthonormal vectors of cols elements, rows ≤ cols, as a
// row-major float32 matrix [rows, cols], little-endian. They follow from the name alone,
// bit for bit, and nothing is held but a row: they are rows of the cosine transform
// DCT-II, drawn without repetition, whose columns have signs drawn at random. That is
// the random subspace of Halko, Martinsson and Tropp (arXiv 0909.4061, section 4.6).
// Entries are taken in float64 and rounded once.
func WriteOrthonormal(w io.Writer, name string, rows, cols int) error {
	seed := sha256.Sum256([]byte(name))
	frequencies := distinct(rand.New(rand.NewChaCha8(seed)), rows, cols)
	seed[0] ^= 1 // the signs are another stream
	return writeChunks(w, rows, func() filler {
		buf := make([]byte, 4*cols)
		return func(r int) []byte {
			scale := math.Sqrt(2 / float64(cols))
			if frequencies[r] == 0 {
				scale = math.Sqrt(1 / float64(cols))
			}
			signs, bits := rand.NewChaCha8(seed), uint64(0)
			for j := range cols {
				if j%64 == 0 {
					bits = signs.Uint64()
				}
				v := math.Float32bits(float32(scale * cosine(int64(frequencies[r])*int64(2*j+1), 4*int64(cols))))
				binary.LittleEndian.PutUint32(buf[4*j:], v^uint32(bits>>(j%64))<<31)
			}
			return buf
		}
	})
}

// distinct draws n different numbers below limit (Floyd's algorithm).
func distinct(rng *rand.Rand, n, limit int) []int {
	drawn, taken := make([]int, 0, n), make(map[int]bool, n)
	for j := limit - n; j < limit; j++ {
		v := rng.IntN(j + 1)
		if taken[v] {
			v = j
		}
		taken[v] = true
		drawn = append(drawn, v)
	}
	return drawn
}

// cosine returns cos 2πn/period for n ≥ 0 and a period that 4 divides. No product in it
// is fused with a sum, so that it is the same on every machine, as math.Cos is not.
func cosine(n, period int64) float64 {
	n %= period
	if n > period/2 {
		n = period - n
	}
	sign := 1.0
	if n > period/4 {
		n, sign = period/2-n, -1
	}
	if 8*n <= period {
		return sign * taylor(1, 1, n, period)
	}
	n = period/4 - n // cos x = sin(π/2 − x)
	return sign * taylor(2*math.Pi*float64(n)/float64(period), 2, n, period)
}

// taylor sums the series first·(1 − x²/(k(k+1)) + x⁴/(k(k+1)(k+2)(k+3)) − …), which is
// a cosine for k = 1 and a sine for k = 2, at x = 2πn/period of at most π/4, where nine
// terms are exact to float64.
func taylor(first, k float64, n, period int64) float64 {
	x := 2 * math.Pi * float64(n) / float64(period)
	square, sum := float64(x*x), 1.0
	for i := 8.0; i > 0; i-- {
		at := 2*(i-1) + k
		sum = 1 - float64(square*sum)/float64(at*(at+1))
	}
	return float64(first * sum)
}
