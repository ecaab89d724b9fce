package kernel

import (
	"math/rand/v2"
	"testing"
)

// thinOut leaves about one element of v in so many, the others 0.
func thinOut[T Float](rng *rand.Rand, v []T, oneIn int) {
	for i := range v {
		if rng.IntN(oneIn) > 0 {
			v[i] = 0
		}
	}
}

func checkGemmSparse[T Float](t *testing.T, rng *rand.Rand, transA bool, m, n, k int, alpha, beta T, oneIn int) {
	t.Helper()
	checkOneGemm(t, func(transA, _ bool, m, n, k int, alpha T, a []T, lda int, b []T, ldb int, beta T, c []T, ldc int) {
		thinOut(rng, a, oneIn) // the definition reads a after this
		GemmSparse(transA, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)
	}, rng, transA, false, m, n, k, alpha, beta)
}

func TestGemmSparse(t *testing.T) {
	rng := rand.New(rand.NewPCG(21, 22))
	for _, s := range []struct{ m, n, k int }{
		{1, 1, 1},
		{3, 64, 5},
		{5, 63, 96},
		{7, 65, 97},
		{2, 200, 300},
		{1100, 70, 10},
		{700, 5, 3000},
		{130, 128, 192},
		{0, 3, 3},
		{3, 0, 3},
		{3, 3, 0},
	} {
		for _, transA := range []bool{false, true} {
			for _, oneIn := range []int{1, 2, 7, 1000} {
				checkGemmSparse[float32](t, rng, transA, s.m, s.n, s.k, -0.5, 1, oneIn)
				checkGemmSparse[float32](t, rng, transA, s.m, s.n, s.k, 1, 0, oneIn)
				checkGemmSparse[float64](t, rng, transA, s.m, s.n, s.k, 2, 0.25, oneIn)
			}
		}
	}
}

func FuzzGemmSparse(f *testing.F) {
	f.Add(uint64(1), uint16(20), uint16(70), uint16(100), uint8(5), true)
	f.Add(uint64(2), uint16(1), uint16(64), uint16(96), uint8(1), false)
	f.Fuzz(func(t *testing.T, seed uint64, m, n, k uint16, oneIn uint8, transA bool) {
		rng := rand.New(rand.NewPCG(seed, 1))
		beta := []float64{0, 1, -2}[rng.IntN(3)]
		checkGemmSparse(t, rng, transA, int(m%300), int(n%200), int(k%300), float32(0.5), float32(beta), 1+int(oneIn))
		checkGemmSparse(t, rng, transA, int(m%300), int(n%200), int(k%300), 0.5, beta, 1+int(oneIn))
	})
}

// The vector code and the plain code of addTerms agree within rounding, and
// neither touches what lies beside.
func TestAddTerms(t *testing.T) { withoutVectors(t, checkAddTerms) }

func checkAddTerms(t *testing.T) {
	rng := rand.New(rand.NewPCG(23, 24))
	for _, width := range []int{wideStrip, narrowStrip} {
		for count := range 12 {
			for _, beta := range []float32{0, 1, -0.5} {
				src, dst := random[float32](rng, 500), random[float32](rng, width+2)
				terms := make([]term[float32], count)
				want := newSums(width)
				if beta != 0 {
					for i := range width {
						want.add(i, float64(beta)*float64(dst[1+i]))
					}
				} else {
					copy(dst[1:], nans[float32](width))
				}
				for k := range terms {
					terms[k] = term[float32]{uint32(rng.IntN(500 - width)), float32(rng.NormFloat64())}
					for i := range width {
						want.add(i, float64(terms[k].factor)*float64(src[int(terms[k].offset)+i]))
					}
				}
				left, right := dst[0], dst[width+1]
				addTerms(dst[1:width+1], terms, src, beta)
				if i := worst(want, dst[1:width+1]); i >= 0 {
					t.Fatalf("%d terms, beta %g: [%d] = %g, want %g", count, beta, i, dst[1+i], want.value[i])
				}
				if dst[0] != left || dst[width+1] != right {
					t.Fatalf("%d terms over %d columns wrote beside them", count, width)
				}
			}
		}
	}
}

func TestMostlyZero(t *testing.T) { withoutVectors(t, checkMostlyZero) }

func checkMostlyZero(t *testing.T) {
	v := make([]float32, 100_000)
	if !MostlyZero(v) || MostlyZero(v[:0]) {
		t.Error("zeros are mostly zero, nothing is not")
	}
	for i := range v {
		if i%5 == 0 {
			v[i] = 1
		}
	}
	if MostlyZero(v) != vectorCode {
		t.Error("a fifth is other than zero: mostly zero where there is vector code")
	}
	for i := range v {
		if i%2 == 0 {
			v[i] = -1
		}
	}
	if MostlyZero(v) {
		t.Error("more than half is other than zero: not mostly zero")
	}
}
