//go:build unix

package kernel

import (
	"math/rand/v2"
	"syscall"
	"testing"
	"time"
)

// benchShapes are products as training makes them, with m, n and k.
var benchShapes = []struct {
	name           string
	transA, transB bool
	m, n, k        int
}{
	{"forward", false, true, 250, 3072, 2304},
	{"forward/wide", false, true, 250, 1024, 8192},
	{"input-gradient", false, false, 250, 2304, 3072},
	{"input-gradient/wide", false, false, 250, 8192, 1024},
	{"weight-gradient", true, false, 3072, 2304, 250},
	{"weight-gradient/wide", true, false, 1024, 8192, 250},
	{"both-transposed", true, true, 250, 3072, 2304},
	{"forward/1024", false, true, 250, 1024, 1024},
	{"input-gradient/1024", false, false, 250, 1024, 1024},
	{"weight-gradient/1024", true, false, 1024, 1024, 250},
	{"square", false, false, 1024, 1024, 1024},
	{"conv", false, false, 16, 784, 144},
	{"classes/forward", false, true, 250, 10, 2304},
	{"classes/input-gradient", false, false, 250, 2304, 10},
	{"classes/weight-gradient", true, false, 10, 2304, 250},
	{"batch-of-1/forward", false, true, 1, 3072, 2304},
	{"batch-of-1/input-gradient", false, false, 1, 2304, 3072},
	{"batch-of-1/weight-gradient", true, false, 3072, 2304, 1},
	{"batch-of-4/forward", false, true, 4, 3072, 2304},
	{"batch-of-4/input-gradient", false, false, 4, 2304, 3072},
	{"batch-of-8/forward", false, true, 8, 3072, 2304},
	{"batch-of-8/input-gradient", false, false, 8, 2304, 3072},
	{"one-column", false, false, 3072, 1, 2304},
	{"one-column/transposed", true, false, 3072, 1, 2304},
	{"k=8", false, false, 1000, 1000, 8},
	{"4x4x4", false, false, 4, 4, 4},
	{"8x8x8", false, false, 8, 8, 8},
	{"16x16x16", false, true, 16, 16, 16},
	{"33x65x40", true, false, 33, 65, 40},
	{"64x64x64", false, false, 64, 64, 64},
}

// BenchmarkGemm reports GF/s, billions of floating-point operations a second.
// For machines that are busy with other things there are two more: the same for
// the fastest call alone, and for a second of one processor's time.
func BenchmarkGemm(b *testing.B) {
	for _, s := range benchShapes {
		b.Run(s.name, func(b *testing.B) {
			for _, blas := range benchBackends() {
				b.Run(blas.name+"/float32", func(b *testing.B) {
					benchGemm[float32](b, blas.backend, s.transA, s.transB, s.m, s.n, s.k)
				})
				b.Run(blas.name+"/float64", func(b *testing.B) {
					benchGemm[float64](b, blas.backend, s.transA, s.transB, s.m, s.n, s.k)
				})
			}
		})
	}
}

type namedBackend struct {
	name    string
	backend backend
}

// benchBackends are all that run on this machine.
func benchBackends() []namedBackend {
	list := []namedBackend{{"gonum", gonumBLAS{}}}
	for _, p := range packedHere() {
		list = append(list, namedBackend{p.String(), p})
	}
	if lib, ok := chooseBackend("").(*openblas); ok {
		list = append(list, namedBackend{"OpenBLAS", lib})
	}
	return list
}

func benchGemm[T Float](b *testing.B, blas backend, transA, transB bool, m, n, k int) {
	rng := rand.New(rand.NewPCG(1, 1))
	x, y, z := random[T](rng, m*k), random[T](rng, k*n), make([]T, m*n)
	lda, ldb := k, n
	if transA {
		lda = m
	}
	if transB {
		ldb = k
	}
	flop := 2 * float64(m) * float64(n) * float64(k)
	b.ReportAllocs()
	before := processorTime(b)
	fastest := time.Hour
	for b.Loop() {
		start := time.Now()
		multiply(blas, transA, transB, m, n, k, 1, x, lda, y, ldb, 0, z, n)
		fastest = min(fastest, time.Since(start))
	}
	spent := processorTime(b) - before
	b.ReportMetric(flop*float64(b.N)/b.Elapsed().Seconds()/1e9, "GF/s")
	b.ReportMetric(flop/fastest.Seconds()/1e9, "GF/s-best")
	b.ReportMetric(flop*float64(b.N)/spent.Seconds()/1e9, "GF/cpu-s")
	b.ReportMetric(0, "ns/op")
}

// processorTime is what all threads of this process have spent.
func processorTime(b *testing.B) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
