package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
)

// bound is a rounding bound for sums of n products whose absolute values add
// up to mass: n·u·mass, doubled for the order of summation (Higham §3.1).
func bound[T Float](n int, mass float64) float64 {
	u := 0x1p-24
	if any(T(0)) == any(float64(0)) {
		u = 0x1p-53
	}
	return 2 * float64(n+2) * u * mass
}

func random[T Float](rng *rand.Rand, n int) []T {
	v := make([]T, n)
	for i := range v {
		v[i] = T(rng.NormFloat64())
	}
	return v
}

// naiveGemm is the definition, in float64, with the sum of absolute products.
func naiveGemm[T Float](
	transA, transB bool, m, n, k int,
	alpha T, a []T, lda int, b []T, ldb int, i, j int,
) (sum, mass float64) {
	for p := range k {
		x, y := 0, 0
		if transA {
			x = p*lda + i
		} else {
			x = i*lda + p
		}
		if transB {
			y = j*ldb + p
		} else {
			y = p*ldb + j
		}
		v := float64(a[x]) * float64(b[y]) * float64(alpha)
		sum += v
		mass += math.Abs(v)
	}
	return sum, mass
}

// gemmFunc is Gemm, or one backend behind Gemm's checks.
type gemmFunc[T Float] func(
	transA, transB bool, m, n, k int,
	alpha T, a []T, lda int, b []T, ldb int, beta T, c []T, ldc int,
)

func checkOneGemm[T Float](
	t *testing.T, gemm gemmFunc[T], rng *rand.Rand, transA, transB bool, m, n, k int,
	alpha, beta T,
) {
	t.Helper()
	ra, ca, rb, cb := m, k, k, n
	if transA {
		ra, ca = ca, ra
	}
	if transB {
		rb, cb = cb, rb
	}
	lda, ldb, ldc := max(1, ca)+rng.IntN(3), max(1, cb)+rng.IntN(3), max(1, n)+rng.IntN(3)
	a, b := random[T](rng, ra*lda), random[T](rng, rb*ldb)
	c := random[T](rng, m*ldc)
	if beta == 0 {
		for i := range c {
			c[i] = T(math.NaN())
		}
	}
	before := append([]T(nil), c...)
	gemm(transA, transB, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)
	for i := range m {
		for j := range ldc {
			got, old := float64(c[i*ldc+j]), float64(before[i*ldc+j])
			if j >= n {
				if got != old && !(math.IsNaN(got) && math.IsNaN(old)) {
					t.Fatalf("wrote %g over the gap at %d,%d", got, i, j)
				}
				continue
			}
			want, mass := naiveGemm(transA, transB, m, n, k, alpha, a, lda, b, ldb, i, j)
			if beta != 0 {
				want += float64(beta) * old
				mass += math.Abs(float64(beta) * old)
			}
			if d := math.Abs(got - want); !(d <= bound[T](k, mass)) {
				t.Fatalf(
					"%T %d×%d×%d trans %v %v alpha %v beta %v: c[%d,%d] = %g, want %g", got, m, n, k,
					transA, transB, alpha, beta, i, j, got, want,
				)
			}
		}
	}
}

// checkSmallGemms goes through every combination of sizes, transposes and
// factors.
func checkSmallGemms[T Float](t *testing.T, gemm gemmFunc[T]) {
	rng := rand.New(rand.NewPCG(1, 2))
	sizes := []int{0, 1, 2, 7, 33}
	cases := 0
	for _, m := range sizes {
		for _, n := range sizes {
			for _, k := range sizes {
				for trans := range 4 {
					for _, s := range [][2]T{{1, 0}, {-0.5, 1}, {2, 0.25}, {0, 0}, {0, 2}} {
						checkOneGemm(t, gemm, rng, trans&1 != 0, trans&2 != 0, m, n, k, s[0], s[1])
						cases++
					}
				}
			}
		}
	}
	if want := 125 * 4 * 5; cases != want {
		t.Errorf("ran %d cases, want %d", cases, want)
	}
}

// checkLargeGemms has products large enough to be cut, along either side.
func checkLargeGemms[T Float](t *testing.T, gemm gemmFunc[T]) {
	rng := rand.New(rand.NewPCG(1, 3))
	cases := 0
	for _, s := range [][3]int{{130, 70, 40}, {70, 301, 50}, {1, 900, 100}, {900, 1, 100}, {65, 193, 64}} {
		for trans := range 4 {
			checkOneGemm(t, gemm, rng, trans&1 != 0, trans&2 != 0, s[0], s[1], s[2], 1, 0)
			checkOneGemm(t, gemm, rng, trans&1 != 0, trans&2 != 0, s[0], s[1], s[2], -2, 1)
			cases += 2
		}
	}
	if want := 5 * 4 * 2; cases != want {
		t.Errorf("ran %d cases, want %d", cases, want)
	}
}

func checkGemms[T Float](t *testing.T, gemm gemmFunc[T]) {
	checkSmallGemms(t, gemm)
	checkLargeGemms(t, gemm)
}

// through is Gemm on a backend of the test's choice.
func through[T Float](b backend) gemmFunc[T] {
	return func(transA, transB bool, m, n, k int, alpha T, a []T, lda int, bb []T, ldb int, beta T, c []T, ldc int) {
		multiply(b, transA, transB, m, n, k, alpha, a, lda, bb, ldb, beta, c, ldc)
	}
}

func TestGemm(t *testing.T) {
	defer SetThreads(0)
	check := func(name string, single gemmFunc[float32], double gemmFunc[float64]) {
		t.Run(name, func(t *testing.T) {
			SetThreads(1)
			checkSmallGemms(t, single)
			checkSmallGemms(t, double)
			for _, threads := range []int{1, 2, 3} {
				SetThreads(threads)
				checkLargeGemms(t, single)
				checkLargeGemms(t, double)
			}
		})
	}
	check("chosen", Gemm[float32], Gemm[float64])
	check("gonum", through[float32](gonumBLAS{}), through[float64](gonumBLAS{}))
}

// A library that must take turns is used by calls from many goroutines.
func TestGemmTakesTurns(t *testing.T) {
	lib, ok := chooseBackend("").(*openblas)
	if !ok {
		t.Log("no OpenBLAS on this machine: nothing else needs turns")
		return
	}
	lib.shared = false
	done := make(chan bool)
	for i := range 4 {
		go func() {
			defer func() { done <- true }()
			rng := rand.New(rand.NewPCG(uint64(i), 1))
			for range 20 {
				checkOneGemm(t, through[float32](lib), rng, false, true, 40, 50, 60, 1, 0)
			}
		}()
	}
	for range 4 {
		<-done
	}
}

func TestChooseBackend(t *testing.T) {
	instead := standIn().String()
	if got := chooseBackend("off").String(); got != instead {
		t.Errorf("off: %q", got)
	}
	got := chooseBackend("/nowhere/libopenblas.so").String()
	if !strings.HasPrefix(got, instead+" (EFCN_OPENBLAS=/nowhere/libopenblas.so: ") {
		t.Errorf("missing file: %q", got)
	}
	// A file that is a library, but no BLAS, is turned down as well as one
	// that is no library at all.
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{program, "libc.so.6"} {
		if got := chooseBackend(file).String(); !strings.HasPrefix(got, instead+" (EFCN_OPENBLAS=") {
			t.Errorf("%s: %q", file, got)
		}
	}
	if BLAS() == "" {
		t.Error("BLAS() says nothing")
	}
	t.Logf("this machine multiplies with %s", BLAS())
}

func TestGemmRefuses(t *testing.T) {
	x := make([]float32, 6)
	cases := []struct {
		name string
		call func()
		want string
	}{
		{"negative", func() { Gemm(false, false, -1, 2, 3, 1, x, 3, x, 2, 0, x, 2) }, "gemm of -1×2×3"},
		{
			"leading dimension", func() { Gemm(false, false, 2, 2, 3, 1, x, 2, x, 2, 0, x, 2) },
			"leading dimension of a is 2, its rows have 3",
		},
		{
			"short a", func() { Gemm(false, false, 3, 2, 3, 1, x, 3, x, 2, 0, x, 2) },
			"a has 6 elements, 3×3 at leading dimension 3 takes 9",
		},
		{"short b", func() { Gemm(false, true, 2, 3, 3, 1, x, 3, x, 3, 0, x, 3) }, "b has 6 elements"},
		{"short c", func() { Gemm(false, false, 2, 2, 3, 1, x, 3, x, 2, 0, x, 5) }, "c has 6 elements"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			defer func() {
				if got := fmt.Sprint(recover()); !strings.Contains(got, c.want) {
					t.Errorf("panicked with %q, want %q", got, c.want)
				}
			}()
			c.call()
		})
	}
}
