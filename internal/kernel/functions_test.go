package kernel

import (
	"math"
	"math/rand/v2"
	"testing"
)

// specials are floats that functions treat apart, among others of all sizes.
func specials(n int) []float32 {
	rng := rand.New(rand.NewPCG(11, 12))
	list := []float32{
		0, float32(math.Copysign(0, -1)), float32(math.Inf(1)), float32(math.Inf(-1)), float32(math.NaN()), 3, -3,
		math.MaxFloat32, -math.MaxFloat32, math.SmallestNonzeroFloat32, 88, -88, 104, -104, 1e30, -1e30,
	}
	for len(list) < n {
		list = append(list, float32(rng.NormFloat64()*math.Exp2(float64(rng.IntN(16)-9))))
	}
	return list
}

// Every length, so that each tail is met, beside elements that must not be written.
func TestFunctionsOfElements(t *testing.T) {
	all := specials(4000)
	for n := range 70 {
		for _, src := range [][]float32{all[:n], all[len(all)-n:]} {
			dst := nans[float32](n + 1)
			check := func(what string, want func(i int) float32) {
				t.Helper()
				for i := range n {
					if w := want(i); math.Float32bits(dst[i]) != math.Float32bits(w) && (w == w || dst[i] == dst[i]) {
						t.Errorf("%s, %d elements: of %g is %g, want %g", what, n, src[i], dst[i], w)
					}
				}
				if dst[n] == dst[n] {
					t.Fatalf("%s of %d elements wrote another", what, n)
				}
			}
			HardSwish(dst[:n], src)
			check("HardSwish", func(i int) float32 { return src[i] * max(0, min(1, src[i]/6+0.5)) })
			Mul(dst[:n], src, all[7:7+n])
			check("Mul", func(i int) float32 { return src[i] * all[7+i] })
		}
	}
}

func TestSigmoid(t *testing.T) {
	src := specials(200_003)
	dst := make([]float32, len(src))
	Sigmoid(dst, src)
	for i, v := range src {
		want := 1 / (1 + math.Exp(-float64(v)))
		if v != v {
			want = math.NaN()
		}
		ulp := want * 0x1p-23
		if got := float64(dst[i]); !(math.Abs(got-want) <= 4*ulp+1e-38) && (got == got || want == want) {
			t.Errorf("of %g is %g, want %g", v, got, want)
		}
	}
}
