package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

func randomConv[T Float](rng *rand.Rand) Conv[T] {
	groups := 1 + rng.IntN(3)
	return Conv[T]{groups, groups * (1 + rng.IntN(3)), groups * (1 + rng.IntN(3)), randomWindow(rng, true)}
}

// checkConv compares the three directions with the definition. Buffers start
// as NaN, to show that they are overwritten.
func checkConv[T Float](t *testing.T, c Conv[T], n int, rng *rand.Rand) {
	t.Helper()
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	checkConvOf(t, c, n, rng, 1)
	checkConvOf(t, c, n, rng, 6)
}

// checkConvOf is checkConv where about one gradient at the output in so many is
// other than zero.
func checkConvOf[T Float](t *testing.T, c Conv[T], n int, rng *rand.Rand, oneIn int) {
	t.Helper()
	x, dy := random[T](rng, n*c.InChannels*c.InSize()), random[T](rng, n*c.OutChannels*c.OutSize())
	thinOut(rng, dy, oneIn)
	w, bias := random[T](rng, c.OutChannels*c.InChannels/c.Groups*c.Taps()), random[T](rng, c.OutChannels)
	y, dx, dw, db := nans[T](len(dy)), nans[T](len(x)), nans[T](len(w)), nans[T](len(bias))

	wantY, wantX, wantW, wantB := newSums(len(dy)), newSums(len(x)), newSums(len(w)), newSums(len(bias))
	for i, g := range dy {
		o := i / max(1, c.OutSize()) % c.OutChannels
		wantY.add(i, float64(bias[o]))
		wantB.add(o, float64(g))
	}
	naiveConv(c, n, func(iy, ix, iw int) {
		wantY.add(iy, float64(x[ix])*float64(w[iw]))
		wantX.add(ix, float64(dy[iy])*float64(w[iw]))
		wantW.add(iw, float64(dy[iy])*float64(x[ix]))
	})
	report := func(what string, want sums, got []T) {
		if i := worst(want, got); i >= 0 {
			t.Errorf("%T %+v, %d images: %s[%d] = %g, want %g", x, c, n, what, i, got[i], want.value[i])
		}
	}
	c.Forward(n, x, w, bias, y)
	report("y", wantY, y)
	c.BackwardInput(n, dy, w, dx)
	report("dx", wantX, dx)
	c.BackwardWeights(n, x, dy, dw, db)
	report("dw", wantW, dw)
	report("db", wantB, db)
	// However many there are, the code for few comes to the same.
	if l := c.layer(); !l.direct() {
		if s, ok := l.stretches(); ok {
			defer s.giveBack()
			copy(dx, nans[T](len(dx)))
			backwardInputSparse(s, n, dy, w, dx)
			report("dx, skipping zeros", wantX, dx)
			copy(dw, nans[T](len(dw)))
			backwardWeightsSparse(s, n, x, dy, dw)
			report("dw, skipping zeros", wantW, dw)
		}
	}

	for i := range wantY.value {
		wantY.value[i] -= float64(bias[i/c.OutSize()%c.OutChannels])
	}
	c.Forward(n, x, w, nil, y)
	report("y without bias", wantY, y)
	for i := range wantY.value {
		wantY.value[i] *= 2
	}
	c.ForwardThen(n, x, w, nil, y, func(at int, part []T) {
		if len(part) > 0 && (&part[0] != &y[at] || at/c.OutSize() != (at+len(part)-1)/c.OutSize()) {
			t.Errorf("a stretch of %d at %d is not of one plane of y", len(part), at)
		}
		for i := range part {
			part[i] *= 2
		}
	})
	report("y doubled", wantY, y)
}

func nans[T Float](n int) []T {
	v := make([]T, n)
	for i := range v {
		v[i] = T(math.NaN())
	}
	return v
}

func window(in, kernel, stride, dilation, begin, end, out []int) Window {
	return Window{in, kernel, stride, dilation, begin, end, out}
}

func TestConv(t *testing.T) {
	one, two := []int{1, 1}, []int{2, 2}
	zero := []int{0, 0}
	cases := []struct {
		name               string
		groups, in, out, n int
		w                  Window
	}{
		{"plain", 1, 2, 3, 2, window([]int{5, 6}, []int{3, 3}, one, one, zero, zero, []int{3, 4})},
		{"asymmetric pads", 1, 2, 3, 2, window(
			[]int{5, 6}, []int{3, 3}, one, one, []int{2, 0}, []int{1, 2}, []int{6, 6},
		)},
		{"stride beyond kernel", 1, 1, 2, 1, window([]int{9, 9}, two, []int{3, 4}, one, zero, zero, []int{3, 2})},
		{"dilated", 1, 2, 2, 1, window([]int{9, 9}, []int{3, 3}, one, []int{3, 2}, one, one, []int{5, 7})},
		{"groups", 2, 4, 6, 2, window([]int{5, 5}, []int{3, 3}, two, one, one, one, []int{3, 3})},
		{"depthwise", 4, 4, 4, 3, window([]int{6, 5}, []int{3, 3}, one, one, one, one, []int{6, 5})},
		{"depthwise with a multiplier, stride 2", 3, 3, 6, 2, window(
			[]int{7, 7}, []int{3, 3}, two, one, one, one, []int{4, 4},
		)},
		{"depthwise, stride 3 beyond the kernel, asymmetric pads", 3, 3, 3, 2, window(
			[]int{11, 10}, two, []int{3, 4}, one, []int{2, 0}, []int{0, 3}, []int{4, 3},
		)},
		{"depthwise, dilated, stride 2", 3, 3, 3, 2, window(
			[]int{13, 12}, []int{3, 3}, two, []int{3, 2}, []int{2, 2}, []int{2, 2}, []int{6, 6},
		)},
		{"depthwise, mostly padding", 2, 2, 2, 1, window(
			[]int{3, 3}, []int{3, 3}, []int{900, 900}, one, []int{900, 900}, []int{900, 900}, []int{3, 3},
		)},
		{"depthwise, 1-D", 3, 3, 3, 2, window([]int{30}, []int{4}, []int{2}, []int{1}, []int{1}, []int{2}, []int{15})},
		{"depthwise, 3-D", 2, 2, 2, 2, window(
			[]int{4, 5, 6}, []int{2, 3, 3}, []int{1, 1, 2}, []int{1, 1, 1},
			[]int{0, 1, 1}, []int{1, 1, 1}, []int{4, 5, 3},
		)},
		{"more channels than positions", 1, 3, 40, 1, window(
			[]int{4, 4}, []int{3, 3}, one, one, one, one, []int{4, 4},
		)},
		{"more channels than positions, several images", 2, 6, 80, 5, window(
			[]int{4, 4}, []int{3, 3}, one, one, one, one, []int{4, 4},
		)},
		{"more channels than positions, pointwise, many images", 1, 6, 40, 40, window(
			[]int{5, 5}, one, one, one, zero, zero, []int{5, 5},
		)},
		{"pointwise", 1, 5, 4, 3, window([]int{4, 3}, one, one, one, zero, zero, []int{4, 3})},
		{"pointwise, stride 2", 1, 5, 4, 3, window([]int{5, 3}, one, two, one, zero, zero, []int{3, 2})},
		{"pointwise, cropped", 1, 5, 4, 3, window([]int{5, 3}, one, one, one, zero, zero, []int{3, 2})},
		{"no images", 1, 2, 2, 0, window([]int{5, 5}, []int{3, 3}, one, one, zero, zero, []int{3, 3})},
		{"kernel wider than the input", 1, 1, 1, 1, window([]int{2, 2}, []int{5, 5}, one, one, two, two, two)},
		{"taps that always lie outside", 1, 2, 3, 2, window(
			[]int{4, 4}, []int{3, 3}, one, []int{12, 12}, []int{12, 12}, []int{12, 12}, []int{4, 4},
		)},
		{"depthwise, taps that always lie outside", 3, 3, 3, 2, window(
			[]int{4, 4}, []int{3, 3}, one, []int{12, 12}, []int{12, 12}, []int{12, 12}, []int{4, 4},
		)},
		{"1-D", 1, 3, 2, 2, window([]int{20}, []int{5}, []int{2}, []int{2}, []int{3}, []int{4}, []int{10})},
		{"3-D", 1, 2, 2, 2, window(
			[]int{4, 5, 6}, []int{2, 3, 2}, []int{1, 2, 1}, []int{1, 1, 2},
			[]int{1, 0, 1}, []int{0, 1, 1}, []int{4, 2, 6},
		)},
		{"columns in several blocks of whole lines", 1, 40, 2, 1, window(
			[]int{40, 41}, []int{3, 3}, one, one, one, one, []int{40, 41},
		)},
		{"columns in several blocks within a line", 1, 40, 2, 1, window(
			[]int{3000}, []int{5}, []int{1}, []int{1}, []int{2}, []int{2}, []int{3000},
		)},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(3, 4))
			checkConv(t, Conv[float32]{c.groups, c.in, c.out, c.w}, c.n, rng)
			checkConv(t, Conv[float64]{c.groups, c.in, c.out, c.w}, c.n, rng)
		})
	}
}

func TestConvRandomGeometries(t *testing.T) { withoutVectors(t, checkRandomConvs) }

func checkRandomConvs(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for range 150 {
		checkConv(t, randomConv[float32](rng), 1+rng.IntN(3), rng)
		checkConv(t, randomConv[float64](rng), 1+rng.IntN(3), rng)
	}
}

func FuzzConv(f *testing.F) {
	f.Add(uint64(1))
	f.Fuzz(func(t *testing.T, seed uint64) {
		rng := rand.New(rand.NewPCG(seed, 0))
		checkConv(t, randomConv[float32](rng), rng.IntN(4), rng)
		checkConv(t, randomConv[float64](rng), rng.IntN(4), rng)
	})
}

func TestConvRefuses(t *testing.T) {
	good := window([]int{5}, []int{3}, []int{1}, []int{1}, []int{0}, []int{0}, []int{3})
	noStride := good
	noStride.Stride = []int{0}
	short := good
	short.PadEnd = nil
	cases := []struct {
		name string
		c    Conv[float32]
		want string
	}{
		{"groups", Conv[float32]{2, 3, 4, good}, "2 groups do not divide 3 input and 4 output channels"},
		{"channels", Conv[float32]{1, 0, 4, good}, "1 groups of 0 to 4 channels"},
		{"stride", Conv[float32]{1, 1, 1, noStride}, "stride: 0 is less than 1"},
		{"pads", Conv[float32]{1, 1, 1, short}, "pads at the end: want 1 values, got 0"},
		{"rank", Conv[float32]{1, 1, 1, Window{}}, "window over 0 spatial axes; 1 to 3 work"},
	}
	for _, c := range cases {
		if err := c.c.Validate(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

// The same numbers come out whatever is going on beside, at a fixed number of
// threads.
func TestConvRepeats(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	c := Conv[float32]{1, 8, 8, window(
		[]int{12, 12}, []int{3, 3}, []int{1, 1}, []int{1, 1}, []int{1, 1}, []int{1, 1}, []int{12, 12},
	)}
	x, dy := random[float32](rng, 9*8*144), random[float32](rng, 9*8*144)
	first, again := make([]float32, 8*8*9), make([]float32, 8*8*9)
	c.BackwardWeights(9, x, dy, first, nil)
	for range 20 {
		c.BackwardWeights(9, x, dy, again, nil)
		for i := range first {
			if math.Float32bits(first[i]) != math.Float32bits(again[i]) {
				t.Fatalf("dw[%d] = %g, then %g", i, first[i], again[i])
			}
		}
	}
}

func BenchmarkConv(b *testing.B) {
	for _, s := range []struct{ in, out, size, kernel int }{{1, 16, 28, 5}, {16, 32, 14, 3}, {16, 32, 32, 3}} {
		pad := s.kernel / 2
		c := Conv[float32]{1, s.in, s.out, window(
			[]int{s.size, s.size}, []int{s.kernel, s.kernel}, []int{1, 1}, []int{1, 1},
			[]int{pad, pad}, []int{pad, pad}, []int{s.size, s.size},
		)}
		n := 16
		rng := rand.New(rand.NewPCG(1, 1))
		x, dy := random[float32](rng, n*s.in*s.size*s.size), random[float32](rng, n*s.out*s.size*s.size)
		w, bias := random[float32](rng, s.out*s.in*s.kernel*s.kernel), random[float32](rng, s.out)
		y, dx := make([]float32, len(dy)), make([]float32, len(x))
		dw, db := make([]float32, len(w)), make([]float32, len(bias))
		name := fmt.Sprintf("%dto%d/%d/%dx%d", s.in, s.out, s.size, s.kernel, s.kernel)
		b.Run(name+"/forward", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c.Forward(n, x, w, bias, y)
			}
		})
		b.Run(name+"/input", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c.BackwardInput(n, dy, w, dx)
			}
		})
		b.Run(name+"/weights", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c.BackwardWeights(n, x, dy, dw, db)
			}
		})
	}
}
