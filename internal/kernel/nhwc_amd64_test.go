package kernel

import (
	"math"
	"math/rand/v2"
	"testing"

	"golang.org/x/sys/cpu"
)

// nhwcCodes are the codes of packed convolutions that run here.
func nhwcCodes() map[string]*nhwcCode {
	codes := map[string]*nhwcCode{}
	if vectorCode {
		codes["AVX2"] = nhwc256
	}
	if vectorCode && cpu.X86.HasAVX512F {
		codes["AVX-512"] = nhwc512
	}
	return codes
}

// eachNHWC runs body with every code that runs here.
func eachNHWC(t *testing.T, body func(t *testing.T, code *nhwcCode)) {
	if !CanPackConv() {
		t.Skip("no code for this processor")
	}
	for name, code := range nhwcCodes() {
		t.Run(name, func(t *testing.T) { body(t, code) })
	}
}

// checkPackedConv compares a convolution with the definition: without and with what
// follows it.
func checkPackedConv(t *testing.T, code *nhwcCode, c Conv[float32], n int, rng *rand.Rand) {
	t.Helper()
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	outs := n * c.OutChannels * c.OutSize()
	x, w := random[float32](rng, n*c.InChannels*c.InSize()), random[float32](rng, c.OutChannels*c.InChannels/
		c.Groups*c.Taps())
	bias, add := random[float32](rng, c.OutChannels), random[float32](rng, outs)
	want := newSums(outs)
	for i := range want.value {
		want.add(i, float64(bias[i/c.OutSize()%c.OutChannels]))
	}
	naiveConv(c, n, func(y, ix, iw int) { want.add(y, float64(x[ix])*float64(w[iw])) })
	p := packConv(code, c.Groups, c.InChannels, c.OutChannels, c.Kernel[0], c.Kernel[1], w, nil, bias)
	last := lastAxis(n, c.InChannels, c.InSize(), x)
	report := func(what string, y []float32) {
		t.Helper()
		got := make([]float32, outs)
		for i := range got {
			size := c.OutSize()
			got[i] = y[(i/size/c.OutChannels*size+i%size)*c.OutChannels+i/size%c.OutChannels]
		}
		if i := worst(want, got); i >= 0 {
			t.Errorf("%+v, %d images: %s: y[%d] = %g, want %g", c, n, what, i, got[i], want.value[i])
		}
	}
	run := func(what string, finish Finish) {
		t.Helper()
		y := nans[float32](outs)
		p.Forward(c.Window, n, last, y, finish)
		report(what, y)
		if p.Planar(c.Window) {
			y = nans[float32](outs)
			p.ForwardPlanes(c.Window, n, x, y, finish)
			report(what+", from planes", y)
		}
	}
	run("alone", NoFinish)
	for i, v := range add {
		want.add(i, float64(v))
	}
	lo, hi := float32(-0.4), float32(0.7)
	for i, v := range want.value {
		want.value[i] = min(max(v, float64(lo)), float64(hi))
	}
	run("added and clipped", Finish{Add: lastAxis(n, c.OutChannels, c.OutSize(), add), Lo: lo, Hi: hi})
}

// packedGeometries are those at the borders of what the tiles do: channels and positions
// below, at and above a vector, a panel and a tile.
func packedGeometries() []Conv[float32] {
	one, two, three, zero := []int{1, 1}, []int{2, 2}, []int{3, 3}, []int{0, 0}
	same := window([]int{7, 6}, three, one, one, one, one, []int{7, 6})
	var list []Conv[float32]
	for _, channels := range []int{1, 3, 15, 16, 17, 31, 32, 33, 64, 70} {
		list = append(
			list, Conv[float32]{1, 5, channels, same}, Conv[float32]{1, channels, 7, same},
			Conv[float32]{channels, channels, channels, same},
			Conv[float32]{1, channels, 33, window([]int{4, 3}, one, one, one, zero, zero, []int{4, 3})},
		)
	}
	for _, width := range []int{1, 2, 3, 4, 5, 7, 8, 9, 12, 13, 24, 25} {
		w := window([]int{1, width}, []int{1, 3}, one, one, []int{0, 1}, []int{0, 1}, []int{1, width})
		list = append(list, Conv[float32]{1, 2, 40, w}, Conv[float32]{20, 20, 20, w})
	}
	for _, w := range []Window{
		window([]int{9, 9}, two, []int{3, 4}, one, zero, zero, []int{3, 2}),
		window([]int{9, 9}, three, one, []int{3, 2}, one, one, []int{5, 7}),
		window([]int{5, 6}, three, one, one, []int{2, 0}, []int{1, 2}, []int{6, 6}),
		window([]int{2, 2}, []int{5, 5}, one, one, two, two, two),
		window([]int{4, 4}, three, one, []int{12, 12}, []int{12, 12}, []int{12, 12}, []int{4, 4}),
		window([]int{3, 3}, three, []int{900, 900}, one, []int{900, 900}, []int{900, 900}, three),
		window([]int{23, 23}, []int{7, 7}, two, one, three, three, []int{12, 12}),
		window([]int{5, 3}, one, one, one, zero, zero, []int{3, 2}),
	} {
		list = append(
			list, Conv[float32]{1, 3, 40, w}, Conv[float32]{20, 20, 20, w}, Conv[float32]{4, 20, 36, w},
			Conv[float32]{3, 3, 6, w}, Conv[float32]{2, 6, 80, w},
		)
	}
	return list
}

func TestPackedConv(t *testing.T) {
	eachNHWC(t, func(t *testing.T, code *nhwcCode) {
		defer SetThreads(0)
		rng := rand.New(rand.NewPCG(1, 2))
		for _, threads := range []int{1, 3} {
			SetThreads(threads)
			for _, c := range packedGeometries() {
				for _, n := range []int{0, 1, 3} {
					checkPackedConv(t, code, c, n, rng)
				}
			}
		}
	})
}

// Large enough that positions and channels are both cut among threads.
func TestPackedConvLarge(t *testing.T) {
	eachNHWC(t, func(t *testing.T, code *nhwcCode) {
		rng := rand.New(rand.NewPCG(3, 4))
		one, three := []int{1, 1}, []int{3, 3}
		same := func(height, width int) Window {
			return window([]int{height, width}, three, one, one, one, one, []int{height, width})
		}
		checkPackedConv(t, code, Conv[float32]{1, 160, 200, same(6, 5)}, 2, rng)
		checkPackedConv(t, code, Conv[float32]{1, 3, 40, same(90, 80)}, 1, rng)
		checkPackedConv(t, code, Conv[float32]{24, 24, 24, same(60, 80)}, 2, rng)
	})
}

func FuzzPackedConv(f *testing.F) {
	f.Add(uint64(1))
	f.Fuzz(func(t *testing.T, seed uint64) {
		if !CanPackConv() {
			t.Skip("no code for this processor")
		}
		rng := rand.New(rand.NewPCG(seed, 0))
		for range 8 {
			c := randomConv[float32](rng)
			for len(c.In) != 2 {
				c = randomConv[float32](rng)
			}
			switch rng.IntN(3) {
			case 0:
				c.Groups, c.InChannels, c.OutChannels = 1, 1+rng.IntN(70), 1+rng.IntN(70)
			case 1:
				c.Groups = 1 + rng.IntN(70)
				c.InChannels, c.OutChannels = c.Groups, c.Groups
			}
			n := 1 + rng.IntN(3)
			for _, code := range nhwcCodes() {
				checkPackedConv(t, code, c, n, rng)
			}
		}
	})
}

// NaN and infinities pass, and a bound of 0 keeps -0, as Clip has them.
func TestPackedConvSpecialValues(t *testing.T) {
	eachNHWC(t, checkPackedSpecialValues)
}

func checkPackedSpecialValues(t *testing.T, code *nhwcCode) {
	special := []float32{
		float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1)), float32(math.Copysign(0, -1)), 3, -3,
	}
	one, zero := []int{1, 1}, []int{0, 0}
	w := window([]int{1, len(special)}, one, one, one, zero, zero, []int{1, len(special)})
	want := make([]float32, len(special))
	Clip(want, special, 0, 6)
	for _, groups := range []int{1, 2} {
		// The bias, -0, leaves a sum as it is; the second group is like the first.
		x, bias := make([]float32, 0, 12), []float32{special[3], special[3]}[:groups]
		for _, v := range special {
			for range groups {
				x = append(x, v)
			}
		}
		y := make([]float32, len(x))
		p := packConv(code, groups, groups, groups, 1, 1, []float32{1, 1}[:groups], nil, bias)
		p.Forward(w, 1, x, y, Finish{Lo: 0, Hi: 6})
		for i, v := range want {
			if got := y[i*groups]; math.Float32bits(got) != math.Float32bits(v) && (got == got || v == v) {
				t.Errorf("%d groups: %g clipped to [0, 6] is %g, want %g", groups, special[i], got, v)
			}
		}
	}
}

// Windows that lie in the padding, images without elements, and strides as large as a model can
// have are computed like any others.
func TestPackedConvExtremes(t *testing.T) {
	ones := []int{1, 1}
	eachNHWC(t, func(t *testing.T, code *nhwcCode) {
		rng := rand.New(rand.NewPCG(10, 10))
		for _, w := range []Window{
			window([]int{4, 1}, ones, []int{1, 5}, ones, []int{0, 3}, []int{0, 0}, []int{4, 1}),
			window([]int{5, 5}, ones, []int{1 << 30, 1 << 30}, ones, []int{0, 0}, []int{0, 0}, ones),
			window([]int{0, 3}, []int{3, 3}, ones, ones, []int{2, 1}, []int{2, 1}, []int{2, 3}),
			window([]int{5, 5}, ones, []int{1 << 30, 1 << 30}, ones, []int{1<<31 - 1, 1<<31 - 1},
				[]int{1<<30 + 9, 1<<30 + 9}, []int{4, 4}),
		} {
			checkPackedConv(t, code, Conv[float32]{1, 2, 3, w}, 2, rng)
		}
	})
}
