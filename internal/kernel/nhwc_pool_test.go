package kernel

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// lastAxis moves the channels of n×channels×size to the last axis.
func lastAxis(n, channels, size int, x []float32) []float32 {
	y := make([]float32, len(x))
	for i, v := range x {
		y[(i/size/channels*size+i%size)*channels+i/size%channels] = v
	}
	return y
}

// Poolings over the last axis give the bits of those of planes, and means to their
// rounding; moving channels there and back changes nothing.
func TestPoolLast(t *testing.T) {
	defer SetThreads(0)
	rng := rand.New(rand.NewPCG(9, 10))
	cases := 0
	for cases < 120 {
		w := randomWindow(rng, true)
		if len(w.In) != 2 {
			continue
		}
		cases++
		SetThreads(1 + cases%3)
		n, channels := 1+rng.IntN(3), 1+rng.IntN(40)
		x := random[float32](rng, n*channels*w.InSize())
		last := lastAxis(n, channels, w.InSize(), x)
		moved, back := nans[float32](len(x)), nans[float32](len(x))
		ToLast(n, channels, w.InSize(), x, moved)
		ToPlanes(n, channels, w.InSize(), moved, back)
		if !slices.Equal(moved, last) || !slices.Equal(back, x) {
			t.Fatalf("%d images of %d×%d: channels moved to the last axis and back differ", n, channels, w.InSize())
		}
		want, got := make([]float32, n*channels*w.OutSize()), nans[float32](n*channels*w.OutSize())
		check := func(what string) {
			if !slices.Equal(got, lastAxis(n, channels, w.OutSize(), want)) {
				t.Errorf("%s of %+v, %d images of %d channels differs", what, w, n, channels)
			}
		}
		MaxPool(w, n*channels, x, want, nil)
		MaxPoolLast(w, n, channels, last, got)
		check("maximum")
		for _, pad := range []bool{false, true} {
			AveragePool(w, pad, n*channels, x, want)
			AveragePoolLast(w, pad, n, channels, last, got)
			check("average")
		}
		sums, means := newSums(n*channels), nans[float32](n*channels)
		for i, v := range x {
			sums.add(i/w.InSize(), float64(v)/float64(w.InSize()))
		}
		GlobalAverageLast(n, channels, w.InSize(), last, means)
		if i := worst(sums, means); i >= 0 {
			t.Errorf("mean %d of %d positions is %g, want %g", i, w.InSize(), means[i], sums.value[i])
		}
	}
}
