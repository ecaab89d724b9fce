//go:build amd64 || arm64

package kernel

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// eachPacked runs body for every instruction set that this machine has.
func eachPacked(t *testing.T, body func(t *testing.T, blas backend)) {
	t.Logf("here: %v", packedHere())
	for _, blas := range packedHere() {
		t.Run(blas.String(), func(t *testing.T) { body(t, blas) })
	}
}

func TestPackedChoice(t *testing.T) {
	got, ok := packed()
	switch here := packedHere(); {
	case len(here) == 0 && ok:
		t.Errorf("chose %s on a processor that has neither", got)
	case len(here) > 0 && got != here[0]:
		t.Errorf("chose %v, want %s", got, here[0])
	}
	if standIn() == nil {
		t.Error("nothing stands in for OpenBLAS")
	}
}

func TestPacked(t *testing.T) {
	eachPacked(t, func(t *testing.T, blas backend) {
		for _, threads := range []int{1, 3} {
			SetThreads(threads)
			checkGemms(t, through[float32](blas))
			checkGemms(t, through[float64](blas))
		}
		SetThreads(0)
	})
}

// Sizes on, below and above the edges of tiles, of thin products, and of the
// unrolled loops; every depth of k on both sides of a slab.
func TestPackedEdges(t *testing.T) {
	eachPacked(t, func(t *testing.T, blas backend) {
		t.Run("float32", func(t *testing.T) { checkEdges(t, through[float32](blas)) })
		t.Run("float64", func(t *testing.T) { checkEdges(t, through[float64](blas)) })
	})
}

func checkEdges[T Float](t *testing.T, gemm gemmFunc[T]) {
	rng := rand.New(rand.NewPCG(3, 4))
	cases := 0
	run := func(m, n, k int) {
		for trans := range 4 {
			alpha, beta := T(rng.NormFloat64()), T(rng.IntN(3))/2
			checkOneGemm(t, gemm, rng, trans&1 != 0, trans&2 != 0, m, n, k, alpha, beta)
			cases++
		}
	}
	for _, m := range []int{1, 4, 5, 6, 7, 8, 9, 12, 13, 24} {
		for _, n := range []int{1, 5, 6, 8, 9, 12, 13, 16, 31, 32, 33} {
			for _, k := range []int{1, 4, 7, 9, 33} {
				run(m, n, k)
			}
		}
	}
	for _, k := range []int{255, 256, 257, 383, 384, 385, 800} {
		run(13, 35, k)
		run(35, 13, k)
		run(2, 37, k)
		run(37, 2, k)
	}
	// Several blocks each way, and thin products over several stretches.
	run(257, 241, 6)
	run(270, 500, 5)
	run(3, 5000, 5)
	run(5000, 3, 5)
	if want := 4 * (10*11*5 + 7*4 + 4); cases != want {
		t.Errorf("ran %d cases, want %d", cases, want)
	}
}

// A small limit for what is shared makes a small product go through all the
// outer loops: parts of the shared operand, and several slabs in each.
func TestPackedParts(t *testing.T) {
	eachPacked(t, func(t *testing.T, blas backend) {
		whole := blas.(*packedBLAS).single
		for _, limit := range []int{1, 500, 5000} {
			small := &packedBLAS{name: "small", single: &routines[float32]{
				rows: whole.rows, cols: whole.cols, rowUnit: whole.rowUnit,
				depth: 8, down: 2 * whole.rows, across: 2 * whole.cols, sharedLimit: limit,
				tile: whole.tile, transpose4: whole.transpose4, dot: whole.dot, dot4: whole.dot4, axpy4: whole.axpy4,
			}}
			rng := rand.New(rand.NewPCG(5, 6))
			for _, threads := range []int{1, 4} {
				SetThreads(threads)
				for trans := range 4 {
					checkOneGemm(t, through[float32](small), rng, trans&1 != 0, trans&2 != 0, 150, 70, 50, -1, 0)
					checkOneGemm(t, through[float32](small), rng, trans&1 != 0, trans&2 != 0, 70, 150, 50, 2, 0.5)
				}
			}
			SetThreads(0)
		}
	})
}

// The number of threads changes nothing, in no path.
func TestPackedRepeats(t *testing.T) {
	eachPacked(t, func(t *testing.T, blas backend) {
		for _, s := range [][3]int{{120, 190, 500}, {190, 120, 500}, {2, 3001, 100}, {3001, 2, 100}, {7, 1002, 90}} {
			m, n, k := s[0], s[1], s[2]
			for trans := range 4 {
				rng := rand.New(rand.NewPCG(7, 8))
				a, b := random[float32](rng, m*k), random[float32](rng, k*n)
				lda, ldb := k, n
				if trans&1 != 0 {
					lda = m
				}
				if trans&2 != 0 {
					ldb = k
				}
				var first []float32
				for _, threads := range []int{1, 2, 3, 5} {
					SetThreads(threads)
					c := make([]float32, m*n)
					multiply(blas, trans&1 != 0, trans&2 != 0, m, n, k, 1, a, lda, b, ldb, 0, c, n)
					if first == nil {
						first = c
					} else if !slices.Equal(first, c) {
						t.Errorf("%v trans %d: %d threads compute something else", s, trans, threads)
					}
				}
			}
		}
		SetThreads(0)
	})
}

// 0·Inf and 0·NaN are NaN, and come out in the rows and columns that they
// belong to and in no others, though tiles are filled up with zeros.
func TestPackedNonFinite(t *testing.T) {
	eachPacked(t, func(t *testing.T, blas backend) {
		for _, s := range [][3]int{{5, 5, 5}, {3, 50, 40}, {50, 3, 40}, {25, 67, 40}, {70, 10, 300}} {
			m, n, k := s[0], s[1], s[2]
			for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
				for _, beta := range []float64{0, 1} {
					a, b, c := make([]float64, m*k), make([]float64, k*n), make([]float64, m*n)
					row, column := m-1, n-1
					a[row*k+k/2], b[(k-1)*n+column] = bad, bad
					multiply(blas, false, false, m, n, k, 1, a, k, b, n, beta, c, n)
					for i, v := range c {
						if want := i/n == row || i%n == column; math.IsNaN(v) != want || !want && v != 0 {
							t.Fatalf("%v with %v, beta %v: c[%d,%d] = %v", s, bad, beta, i/n, i%n, v)
						}
					}
				}
			}
		}
	})
}

func TestPackedAllocations(t *testing.T) {
	eachPacked(t, func(t *testing.T, blas backend) {
		for _, s := range [][3]int{{4, 4, 4}, {2, 100, 50}, {100, 2, 50}, {100, 70, 50}} {
			m, n, k := s[0], s[1], s[2]
			a, b, c := make([]float32, m*k), make([]float32, k*n), make([]float32, m*n)
			got := testing.AllocsPerRun(50, func() {
				piece(blas, 1, false, false, m, n, k, 1, a, k, b, n, 0, c, n)
			})
			if got >= 1 && !raceEnabled {
				t.Errorf("%v: %v allocations a call", s, got)
			}
		}
	})
}

func FuzzGemm(f *testing.F) {
	for _, s := range [][3]uint16{{1, 1, 1}, {12, 32, 8}, {13, 33, 9}, {6, 16, 400}, {2, 300, 20}, {70, 3, 70}} {
		for trans := range 4 {
			f.Add(s[0], s[1], s[2], uint8(trans), float32(1), float32(0.5), []byte{byte(trans)})
		}
	}
	f.Fuzz(func(t *testing.T, m, n, k uint16, how uint8, alpha, beta float32, seed []byte) {
		m, n, k = m%300, n%300, k%500
		if !(math.Abs(float64(alpha)) < 1e6 && math.Abs(float64(beta)) < 1e6) {
			alpha, beta = 1, 1 // the bound on rounding leaves overflow out
		}
		for _, v := range []float32{alpha, beta} {
			if v != 0 && math.Abs(float64(v)) < 1e-6 {
				alpha, beta = 1, 1 // and underflow
			}
		}
		var state [32]byte
		copy(state[:], binary.BigEndian.AppendUint16(seed[:min(len(seed), 30)], m))
		SetThreads(1 + int(how>>2)%3)
		defer SetThreads(0)
		for _, blas := range packedHere() {
			rng := rand.New(rand.NewChaCha8(state))
			checkOneGemm(t, through[float32](blas), rng, how&1 != 0, how&2 != 0, int(m), int(n), int(k), alpha, beta)
			checkOneGemm(
				t, through[float64](blas), rng, how&1 != 0, how&2 != 0, int(m), int(n),
				int(k), float64(alpha), float64(beta),
			)
		}
	})
}
