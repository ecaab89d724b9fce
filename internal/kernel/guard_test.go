//go:build linux

package kernel

import (
	"math/rand/v2"
	"syscall"
	"testing"
	"unsafe"
)

// guarded returns a copy of v that ends where the memory of this process does: a read
// or a write behind its last element ends the test program.
func guarded[E any](t *testing.T, v []E) []E {
	t.Helper()
	page := syscall.Getpagesize()
	size := len(v) * int(unsafe.Sizeof(*new(E)))
	whole := roundUp(max(size, 1), page)
	memory, err := syscall.Mmap(-1, 0, whole+page, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Munmap(memory); err != nil {
			t.Error(err)
		}
	})
	if err := syscall.Mprotect(memory[whole:], syscall.PROT_NONE); err != nil {
		t.Fatal(err)
	}
	at := unsafe.Pointer(unsafe.SliceData(memory[whole-size:]))
	copied := unsafe.Slice((*E)(at), len(v))
	copy(copied, v)
	return copied
}

func guardedRandom[T Float](t *testing.T, rng *rand.Rand, n int) []T {
	t.Helper()
	return guarded(t, random[T](rng, n))
}

// No code reads or writes behind what it is given, whatever is left over of its
// vectors.
func TestGuarded(t *testing.T) {
	for seed := range uint64(12) {
		// A test of its own gives its memory back.
		t.Run("", func(t *testing.T) { guardLayers[float32](t, rand.New(rand.NewPCG(41, seed))) })
		t.Run("", func(t *testing.T) { guardLayers[float64](t, rand.New(rand.NewPCG(42, seed))) })
	}
	for n := 1; n < 70; n++ {
		t.Run("", func(t *testing.T) { guardPasses(t, rand.New(rand.NewPCG(43, uint64(n))), n) })
	}
	for seed := range uint64(100) {
		t.Run("", func(t *testing.T) {
			rng := rand.New(rand.NewPCG(44, seed))
			c, n := randomConv[float32](rng), 1+rng.IntN(12)
			guardConv(t, rng, c, n)
			guardConv(t, rng, Conv[float64](c), n)
		})
	}
}

// The last channels that a thread takes may be fewer than those of the others.
func TestGuardedImages(t *testing.T) {
	defer SetThreads(0)
	for _, threads := range []int{2, 8, 16} {
		SetThreads(threads)
		for _, channels := range [][2]int{{256, 1024}, {320, 1280}, {500, 140}} {
			t.Run("", func(t *testing.T) {
				w := window([]int{2, 2}, []int{1, 1}, []int{1, 1}, []int{1, 1}, []int{0, 0}, []int{0, 0}, []int{2, 2})
				c := Conv[float32]{1, channels[0], channels[1], w}
				guardConv(t, rand.New(rand.NewPCG(45, 1)), c, 64)
				guardConv(t, rand.New(rand.NewPCG(45, 2)), Conv[float64](c), 9)
			})
		}
	}
}

// guardConv runs a convolution and its gradients, those of a dy that is mostly zero too.
func guardConv[T Float](t *testing.T, rng *rand.Rand, c Conv[T], n int) {
	x := guardedRandom[T](t, rng, n*c.InChannels*c.InSize())
	dy := guardedRandom[T](t, rng, n*c.OutChannels*c.OutSize())
	w := guardedRandom[T](t, rng, c.OutChannels*c.InChannels/c.Groups*c.Taps())
	bias := guardedRandom[T](t, rng, c.OutChannels)
	y, dx := guarded(t, make([]T, len(dy))), guarded(t, make([]T, len(x)))
	dw, dbias := guarded(t, make([]T, len(w))), guarded(t, make([]T, len(bias)))
	c.Forward(n, x, w, bias, y)
	for range 2 {
		c.BackwardInput(n, dy, w, dx)
		c.BackwardWeights(n, x, dy, dw, dbias)
		for i := range dy {
			if rng.IntN(20) > 0 {
				dy[i] = 0
			}
		}
	}
	ToLast(n, c.InChannels, c.InSize(), x, dx)
	ToPlanes(n, c.InChannels, c.InSize(), x, dx)
}

func guardLayers[T Float](t *testing.T, rng *rand.Rand) {
	for range 4 {
		m, n, k := 1+rng.IntN(40), 1+rng.IntN(40), 1+rng.IntN(40)
		if rng.IntN(3) == 0 {
			m = 1 + rng.IntN(8) // products with so few rows go another way
		}
		a, b, c := guardedRandom[T](t, rng, m*k), guardedRandom[T](t, rng, k*n), guardedRandom[T](t, rng, m*n)
		for _, blas := range packedHere() {
			multiply(blas, false, false, m, n, k, 1, a, k, b, n, 1, c, n)
			multiply(blas, true, false, m, n, k, 1, a, m, b, n, 0, c, n)
			multiply(blas, false, true, m, n, k, 1, a, k, b, k, 0, c, n)
		}
		GemmSparse(false, m, n, k, 1, a, k, b, n, 1, c, n)
	}
	local, batch := convolutionTable(1+rng.IntN(4), 1+rng.IntN(9), 3+rng.IntN(3)), 1+rng.IntN(20)
	for _, code := range localCodes[T]() {
		layer, err := newLocalLayer(local, batch, code)
		if err != nil {
			t.Fatal(err)
		}
		w, bias := guardedRandom[T](t, rng, len(local.Table)*local.Out), guardedRandom[T](t, rng, local.Positions*local.Out)
		guardLayer(t, rng, layer, batch*local.Block, batch*local.Positions*local.Out, w, bias)
	}
	matrix, batch := csrCase(rng)
	plan, err := NewCSRPlan(matrix)
	if err != nil {
		t.Fatal(err)
	}
	for _, code := range csrCodes[T]() {
		layer, err := newCSRLayer(plan, batch, code)
		if err != nil {
			t.Fatal(err)
		}
		w, bias := guardedRandom[T](t, rng, len(matrix.Columns)), guardedRandom[T](t, rng, matrix.Rows)
		guardLayer(t, rng, layer, batch*matrix.Cols, batch*matrix.Rows, w, bias)
	}
}

// guardLayer runs the three products of a layer.
func guardLayer[T Float](t *testing.T, rng *rand.Rand, layer interface {
	Forward(x, w, bias, y []T)
	LoadGradient(dy []T)
	BackwardWeights(alpha, beta T, dw []T)
	BackwardInput(w, dx []T)
}, in, out int, w, bias []T,
) {
	x, y := guardedRandom[T](t, rng, in), guardedRandom[T](t, rng, out)
	layer.Forward(x, w, bias, y)
	layer.LoadGradient(y)
	layer.BackwardInput(w, x)
	layer.BackwardWeights(1, 1, w)
}

func guardPasses(t *testing.T, rng *rand.Rand, n int) {
	a, b := guardedRandom[float32](t, rng, n), guardedRandom[float32](t, rng, n)
	dst, index, other := guarded(t, make([]float32, n)), guarded(t, make([]int32, n)), guarded(t, make([]int32, n))
	scalar := func() []float32 { return guardedRandom[float32](t, rng, 1) }
	mean, variance, scale := scalar(), scalar(), scalar()
	ScaleShift(dst, a, 2, 1)
	Clip(dst, a, 0, 6)
	Add(dst, a, b)
	Gate(dst, a, b)
	GateBetween(dst, a, b, 0, 1)
	Mul(dst, a, b)
	HardSwish(dst, a)
	Sigmoid(dst, a)
	Normalise(dst, a, 1, 1, 1)
	CrossEntropy(1, n, a, []int{n - 1}, dst)
	maximum(dst, a, b)
	greatest(dst, index, a, index, b, other)
	everySecond(dst[n-(n+1)/2:], a)
	lanes, factors := guarded(t, make([]float32, tapLanes)), guardedRandom[float32](t, rng, 2)
	sumTaps(lanes, guardedRandom[float32](t, rng, n+tapLanes), []int{0, n}, factors, 1)
	BatchNorm(1, 1, n, a, scale, scale, 1e-5, dst, mean, variance)
	BatchNormBackward(1, 1, n, a, b, scale, mean, variance, 1e-5, dst, scalar(), scalar())
}
