package kernel

import (
	"math"
	"math/rand/v2"
	"testing"
)

func checkPools[T Float](t *testing.T, w Window, n int, rng *rand.Rand) {
	t.Helper()
	in, out := w.InSize(), w.OutSize()
	x, dy := random[T](rng, n*in), random[T](rng, n*out)
	if rng.IntN(4) == 0 {
		for i := range x {
			x[i] = T(rng.IntN(3)) // ties
		}
	}
	y, dx := nans[T](n*out), nans[T](n*in)
	argmax := make([]int32, n*out)

	// Greatest value, first of equals.
	wantAt := make([]int32, n*out)
	wantX := newSums(n * in)
	for i := range wantAt {
		wantAt[i] = -1
	}
	for plane := range n {
		naiveTaps(w, func(o, _, s int, _ bool) {
			at := &wantAt[plane*out+o]
			if s < 0 {
				return
			}
			value := func(i int) T { return x[plane*in+i] }
			if *at < 0 || value(s) > value(int(*at)) || value(s) == value(int(*at)) && int32(s) < *at {
				*at = int32(s)
			}
		})
	}
	MaxPool(w, n, x, y, argmax)
	for i, at := range wantAt {
		want := T(math.Inf(-1))
		if at >= 0 {
			want = x[i/out*in+int(at)]
			wantX.add(i/out*in+int(at), float64(dy[i]))
		}
		if y[i] != want || argmax[i] != at {
			t.Fatalf("%T %+v: max[%d] = %g at %d, want %g at %d", x, w, i, y[i], argmax[i], want, at)
		}
	}
	alone := nans[T](n * out)
	for i := 0; i < len(x); i += 1 + rng.IntN(7) {
		x[i] = []T{T(math.NaN()), T(math.Inf(-1)), T(math.Inf(1)), -1}[rng.IntN(4)]
	}
	MaxPool(w, n, x, alone, nil)
	MaxPool(w, n, x, y, argmax)
	for i := range alone {
		if alone[i] != y[i] && !(alone[i] != alone[i] && y[i] != y[i]) {
			t.Fatalf("%T %+v: max[%d] = %g without argmax, %g with it", x, w, i, alone[i], y[i])
		}
	}
	// NaN is the greatest, the first of several.
	for i := range wantAt {
		wantAt[i] = -1
	}
	for plane := range n {
		naiveTaps(w, func(o, _, s int, _ bool) {
			at := &wantAt[plane*out+o]
			if s < 0 {
				return
			}
			if *at < 0 {
				*at = int32(s)
				return
			}
			u, v := x[plane*in+s], x[plane*in+int(*at)]
			if u > v || u != u && v == v || (u == v || u != u && v != v) && int32(s) < *at {
				*at = int32(s)
			}
		})
	}
	for i, at := range wantAt {
		if argmax[i] != at {
			t.Fatalf("%T %+v: max[%d] with NaN is at %d, want %d", x, w, i, argmax[i], at)
		}
	}
	x = random[T](rng, n*in)
	MaxPool(w, n, x, y, argmax)
	wantX = newSums(n * in)
	for i, at := range argmax {
		if at >= 0 {
			wantX.add(i/out*in+int(at), float64(dy[i]))
		}
	}
	MaxPoolBackward(w, n, dy, argmax, dx)
	if i := worst(wantX, dx); i >= 0 {
		t.Fatalf("%T %+v: gradient of max[%d] = %g, want %g", x, w, i, dx[i], wantX.value[i])
	}

	for _, includePad := range []bool{false, true} {
		counts := make([]int, out)
		naiveTaps(w, func(o, _, s int, padded bool) {
			if s >= 0 || (includePad && padded) {
				counts[o]++
			}
		})
		wantY, wantX := newSums(n*out), newSums(n*in)
		for plane := range n {
			naiveTaps(w, func(o, _, s int, _ bool) {
				if s >= 0 {
					wantY.add(plane*out+o, float64(x[plane*in+s])/float64(counts[o]))
					wantX.add(plane*in+s, float64(dy[plane*out+o])/float64(counts[o]))
				}
			})
		}
		AveragePool(w, includePad, n, x, y)
		if i := worst(wantY, y); i >= 0 {
			t.Fatalf("%T %+v pad %v: average[%d] = %g, want %g", x, w, includePad, i, y[i], wantY.value[i])
		}
		AveragePoolBackward(w, includePad, n, dy, dx)
		if i := worst(wantX, dx); i >= 0 {
			t.Fatalf("%T %+v pad %v: gradient of average[%d] = %g, want %g", x, w, includePad, i, dx[i], wantX.value[i])
		}
	}
}

func TestPools(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 10))
	one, two, zero := []int{1, 1}, []int{2, 2}, []int{0, 0}
	cases := []struct {
		name string
		w    Window
	}{
		{"2×2, stride 2", window([]int{6, 8}, two, two, one, zero, zero, []int{3, 4})},
		{"rest left out", window([]int{5, 7}, two, two, one, zero, zero, []int{2, 3})},
		{"rest kept by ceil_mode", window([]int{5, 7}, two, two, one, zero, zero, []int{3, 4})},
		{"asymmetric pads", window([]int{5, 7}, []int{3, 3}, two, one, []int{0, 2}, []int{2, 1}, []int{3, 4})},
		{"dilated", window([]int{7, 7}, []int{3, 2}, one, []int{2, 3}, one, one, []int{5, 6})},
		{"a window wholly in the padding", window([]int{2, 2}, two, two, one, two, two, []int{3, 3})},
		{"whole plane", window([]int{4, 5}, []int{4, 5}, one, one, zero, zero, one)},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			checkPools[float32](t, c.w, 3, rng)
			checkPools[float64](t, c.w, 3, rng)
		})
	}
}

func TestPoolsRandomGeometries(t *testing.T) { withoutVectors(t, checkRandomPools) }

func checkRandomPools(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 12))
	for range 200 {
		checkPools[float32](t, randomWindow(rng, true), 1+rng.IntN(4), rng)
		checkPools[float64](t, randomWindow(rng, true), rng.IntN(4), rng)
	}
}

func FuzzPools(f *testing.F) {
	f.Add(uint64(1))
	f.Fuzz(func(t *testing.T, seed uint64) {
		rng := rand.New(rand.NewPCG(seed, 0))
		checkPools[float32](t, randomWindow(rng, true), rng.IntN(4), rng)
	})
}

// A NaN is the maximum of its window, as in PyTorch.
func TestMaxPoolKeepsNaN(t *testing.T) {
	nan := math.NaN()
	w := window([]int{4}, []int{2}, []int{2}, []int{1}, []int{0}, []int{0}, []int{2})
	y, at := make([]float64, 4), make([]int32, 4)
	MaxPool(w, 2, []float64{nan, 1, 2, 3, 1, nan, nan, nan}, y, at)
	if !math.IsNaN(y[0]) || y[1] != 3 || !math.IsNaN(y[2]) || !math.IsNaN(y[3]) {
		t.Errorf("y = %v", y)
	}
	if want := [4]int32{0, 3, 1, 2}; [4]int32(at) != want {
		t.Errorf("argmax = %v, want %v", at, want)
	}
}
