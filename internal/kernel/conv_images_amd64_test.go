package kernel

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// eachColumns runs body with the products of columns of every instruction set that this
// processor has.
func eachColumns(t *testing.T, body func(t *testing.T)) {
	if columnsHere[float32]() == nil {
		t.Skip("there are no products of columns for this processor")
	}
	defer func(b *packedBLAS) { columnBLAS = b }(columnBLAS)
	eachPacked(t, func(t *testing.T, blas backend) {
		columnBLAS = blas.(*packedBLAS)
		body(t)
	})
}

// Convolutions of images enough for products of columns, in all three directions: what
// fills tiles, panels and slabs of k, what does not, and weights of which no thread has a
// sum of its own.
func TestConvOfImages(t *testing.T) {
	defer SetThreads(0)
	SetThreads(2) // more threads want more images
	square := func(size, kernel, stride, pad int) Window {
		out := (size+2*pad-kernel)/stride + 1
		return window([]int{size, size}, []int{kernel, kernel}, []int{stride, stride}, []int{1, 1},
			[]int{pad, pad}, []int{pad, pad}, []int{out, out})
	}
	cases := []struct {
		name               string
		groups, in, out, n int
		w                  Window
	}{
		{"lines as long as a panel", 1, 3, 16, 9, square(32, 3, 1, 1)},
		{"lines as long as a vector", 1, 16, 12, 8, square(16, 3, 1, 1)},
		{"lines of half a vector, two slabs of k", 1, 64, 20, 8, square(8, 3, 1, 1)},
		{"stride 2, half a panel of vectors", 1, 5, 40, 9, square(16, 3, 2, 1)},
		{"stride 2, odd size, no padding", 1, 4, 6, 9, square(13, 3, 2, 0)},
		{"stride 3 beyond the kernel", 1, 4, 6, 9, square(11, 2, 3, 1)},
		{"few positions, many channels", 1, 96, 96, 17, square(2, 3, 1, 1)},
		{"one position", 1, 40, 30, 33, square(1, 1, 1, 0)},
		{"pointwise, to more channels", 1, 16, 50, 9, square(9, 1, 1, 0)},
		{"pointwise, to fewer channels", 1, 50, 16, 9, square(4, 1, 1, 0)},
		{"pointwise, stride 2", 1, 12, 20, 9, square(9, 1, 2, 0)},
		{"pointwise, many weights", 1, 300, 260, 9, square(2, 1, 1, 0)},
		{"groups", 3, 12, 15, 6, square(10, 3, 1, 1)},
		{"groups, stride 2", 2, 8, 6, 6, square(10, 5, 2, 2)},
		{"dilated, asymmetric pads", 1, 3, 5, 9, window(
			[]int{9, 11}, []int{3, 2}, []int{1, 2}, []int{2, 3}, []int{3, 0}, []int{0, 2}, []int{8, 5},
		)},
		{"pointwise, three axes", 1, 6, 5, 9, window(
			[]int{2, 3, 4}, []int{1, 1, 1}, []int{1, 1, 1}, []int{1, 1, 1}, []int{0, 0, 0}, []int{0, 0, 0}, []int{2, 3, 4},
		)},
		{"one axis", 1, 6, 5, 9, window([]int{40}, []int{5}, []int{2}, []int{1}, []int{2}, []int{2}, []int{20})},
		{"many images in a band of lines", 1, 2, 3, 8, square(48, 3, 1, 1)},
	}
	eachColumns(t, func(t *testing.T) {
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				checkImages(t, Conv[float32]{c.groups, c.in, c.out, c.w}, c.n)
				checkImages(t, Conv[float64]{c.groups, c.in, c.out, c.w}, c.n)
			})
		}
	})
}

func checkImages[T Float](t *testing.T, c Conv[T], n int) {
	t.Helper()
	l := c.layer()
	if _, ok := l.framing(n); !ok {
		t.Error("forward: not one for products of columns")
	}
	if newInputGradient(columnsHere[T](), &l, n, nil, nil, nil) == nil {
		t.Error("gradient at the input: not one for products of columns")
	}
	if newWeightGradient[T](columnsHere[T](), &l, n, nil, nil) == nil {
		t.Error("gradient at the weights: not one for products of columns")
	}
	checkConv(t, c, n, rand.New(rand.NewPCG(9, 10)))
}

func TestConvOfImagesRandomGeometries(t *testing.T) {
	defer SetThreads(0)
	SetThreads(2) // more threads want more images
	eachColumns(t, func(t *testing.T) {
		rng, taken := rand.New(rand.NewPCG(11, 12)), 0
		for range 60 {
			c := randomConv[float32](rng)
			n := 4 + rng.IntN(9)
			if l := c.layer(); !l.direct() {
				if _, ok := l.framing(n); ok {
					taken++
				}
			}
			checkConv(t, c, n, rng)
			checkConv(t, Conv[float64](c), n, rng)
		}
		if taken < 20 {
			t.Errorf("%d of 60 convolutions are products of columns; want 20 at least", taken)
		}
	})
}

// Depthwise convolutions have code of the same routines.
func TestConvEveryCode(t *testing.T) { eachColumns(t, TestConv) }

// What other processors compute with.
func TestConvWithoutProductsOfColumns(t *testing.T) {
	defer func(b *packedBLAS) { columnBLAS = b }(columnBLAS)
	columnBLAS = nil
	TestConv(t)
	TestConvRandomGeometries(t)
	rng := rand.New(rand.NewPCG(13, 14))
	for range 30 {
		checkConv(t, randomConv[float32](rng), 4+rng.IntN(9), rng)
	}
}

// The gradient at large weights is the same at any number of threads.
func TestConvOfImagesOfManyWeights(t *testing.T) { eachColumns(t, checkManyWeights) }

func checkManyWeights(t *testing.T) {
	rng := rand.New(rand.NewPCG(15, 16))
	c := Conv[float32]{1, 96, 96, window(
		[]int{4, 4}, []int{3, 3}, []int{1, 1}, []int{1, 1}, []int{1, 1}, []int{1, 1}, []int{4, 4},
	)}
	if c.OutChannels*c.InChannels*9 <= mostShared {
		t.Fatal("the weights are not many")
	}
	x, dy := random[float32](rng, 9*96*16), random[float32](rng, 9*96*16)
	var first []float32
	for threads := 1; threads <= 4; threads++ {
		SetThreads(threads)
		dw := make([]float32, 96*96*9)
		c.BackwardWeights(9, x, dy, dw, nil)
		if first == nil {
			first = dw
		}
		if !slices.EqualFunc(first, dw, func(a, b float32) bool { return math.Float32bits(a) == math.Float32bits(b) }) {
			t.Errorf("%d threads: not what one thread computes", threads)
		}
	}
	SetThreads(0)
}
