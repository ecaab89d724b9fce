package kernel

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// BenchmarkVectors compares the vector code with the plain code of the same work, on
// one thread and without OpenBLAS. It reports how many products or, of one pass over
// a stretch, elements a call takes.
func BenchmarkVectors(b *testing.B) {
	here, loaded := vectorCode, loadBackend
	defer func() { vectorCode, loadBackend = here, loaded }()
	SetThreads(1)
	defer SetThreads(0)
	for _, code := range []string{"plain", "vectors"} {
		vectorCode, loadBackend = code == "vectors" && here, standIn
		if code == "plain" {
			loadBackend = func() backend { return gonumBLAS{} }
		}
		for _, w := range vectorWork[float32]() {
			b.Run(fmt.Sprintf("%s/float32/%s", w.name, code), w.run)
		}
		for _, w := range vectorWork[float64]() {
			b.Run(fmt.Sprintf("%s/float64/%s", w.name, code), w.run)
		}
	}
}

type benchWork struct {
	name     string
	products int
	call     func()
}

func (w benchWork) run(b *testing.B) {
	for b.Loop() {
		w.call()
	}
	b.ReportMetric(float64(w.products), "products")
}

func vectorWork[T Float]() []benchWork {
	const m, n, k = 128, 192, 160
	rng := rand.New(rand.NewPCG(31, 32))
	x, y, z := random[T](rng, m*k), random[T](rng, k*n), make([]T, m*n)
	work := []benchWork{
		{"gemm", m * n * k, func() { Gemm(false, false, m, n, k, 1, x, k, y, n, 0, z, n) }},
		{"gemm of eight rows", 8 * n * k, func() { Gemm(false, false, 8, n, k, 1, x, k, y, n, 0, z, n) }},
	}
	work = append(work, layerWork[T](rng, 32)...)
	if _, single := any(x).([]float32); !single {
		return work // of what follows there is vector code for float32 only
	}
	few := slices.Clone(x)
	thinOut(rng, few, 8)
	work = append(work, benchWork{"gemm of few non-zeros", m * n * k / 8, func() {
		GemmSparse(false, m, n, k, 1, few, k, y, n, 0, z, n)
	}})
	return append(work, passWork(random[float32](rng, 1000), random[float32](rng, 1000))...)
}

// layerWork is a 3×3 convolution of 8 to 16 channels as a local layer and as a sparse
// matrix.
func layerWork[T Float](rng *rand.Rand, batch int) []benchWork {
	l := convolutionTable(8, 16, 8)
	layer, err := NewLocalLayer[T](l, batch)
	if err != nil {
		panic(err)
	}
	pattern := csrOf(l)
	plan, err := NewCSRPlan(pattern)
	if err != nil {
		panic(err)
	}
	sparse, err := NewCSRLayer[T](plan, batch)
	if err != nil {
		panic(err)
	}
	products, entries := len(l.Table)*l.Out*batch, len(pattern.Columns)*batch
	w, dw := random[T](rng, products/batch), make([]T, products/batch)
	x, y := random[T](rng, batch*l.Block), make([]T, batch*pattern.Rows)
	layer.Forward(x, w, nil, y)
	layer.LoadGradient(y)
	sparse.Load(x)
	sparse.LoadGradient(y)
	return []benchWork{
		{"local forward", products, func() { layer.Forward(x, w, nil, y) }},
		{"local input gradient", products, func() { layer.LoadGradient(y); layer.BackwardInput(w, x) }},
		{"local weight gradient", products, func() { layer.BackwardWeights(1, 0, dw) }},
		{"CSR forward", entries, func() { sparse.Forward(x, w, nil, y) }},
		{"CSR input gradient", entries, func() { sparse.LoadGradient(y); sparse.BackwardInput(w, x) }},
		{"CSR weight gradient", entries, func() { sparse.BackwardWeights(1, 0, dw) }},
	}
}

// passWork is what goes over stretches, all of one length.
func passWork(a, b []float32) []benchWork {
	n := len(a)
	dst := make([]float32, n)
	index, other := make([]int32, n), make([]int32, n)
	one, two, three := make([]float32, 1), make([]float32, 1), make([]float32, 1)
	scale := []float32{2}
	offsets := []int{0, 1, 2, 10, 11, 12, 20, 21, 22}
	const tapped = 960
	return []benchWork{
		{"ScaleShift", n, func() { ScaleShift(dst, a, 2, 1) }},
		{"Clip", n, func() { Clip(dst, a, 0, 6) }},
		{"Add", n, func() { Add(dst, a, b) }},
		{"Gate", n, func() { Gate(dst, a, b) }},
		{"maximum", n, func() { maximum(dst, a, b) }},
		{"greatest", n, func() { greatest(dst, index, a, index, b, other) }},
		{"every second", n / 2, func() { everySecond(dst[:n/2], a) }},
		{"sum of taps", tapped * 9, func() { sumTaps(dst[:tapped], a, offsets, b[:9], 1) }},
		{"BatchNorm", n, func() { BatchNorm(1, 1, n, a, scale, scale, 1e-5, dst, one, two) }},
		{"BatchNorm gradient", n, func() {
			BatchNormBackward(1, 1, n, a, b, scale, scale, scale, 1e-5, dst, one, three)
		}},
	}
}
