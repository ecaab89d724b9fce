package kernel

import (
	"math"
	"math/rand/v2"
)

// raceEnabled: the race detector has sync.Pool forget at random.
var raceEnabled bool

// The definitions, written down plainly in float64 over one flat loop of taps:
// what the kernels are compared with. Nothing here is shared with them but
// Window's fields.

// coordinates cuts a flat row-major index into one per axis.
func coordinates(flat int, sizes []int) []int {
	at := make([]int, len(sizes))
	for a := len(sizes) - 1; a >= 0; a-- {
		at[a] = flat % sizes[a]
		flat /= sizes[a]
	}
	return at
}

func size(dims []int) int {
	n := 1
	for _, d := range dims {
		n *= d
	}
	return n
}

// naiveTaps calls body for each output position o and tap t: the flat input
// position, -1 in the padding, and whether the tap is within the padded input.
func naiveTaps(w Window, body func(o, t, in int, padded bool)) {
	for o := range size(w.Out) {
		p := coordinates(o, w.Out)
		for t := range size(w.Kernel) {
			k := coordinates(t, w.Kernel)
			in, padded := 0, true
			for a := range p {
				s := p[a]*w.Stride[a] + k[a]*w.Dilation[a] - w.PadBegin[a]
				if s < -w.PadBegin[a] || s >= w.In[a]+w.PadEnd[a] {
					padded = false
				}
				if s < 0 || s >= w.In[a] {
					in = -1
				}
				if in >= 0 {
					in = in*w.In[a] + s
				}
			}
			body(o, t, in, padded)
		}
	}
}

// naiveConv calls body with the indices of every product x·w that enters y.
func naiveConv[T Float](c Conv[T], n int, body func(y, x, w int)) {
	in, out := c.InChannels/c.Groups, c.OutChannels/c.Groups
	for image := range n {
		for o := range c.OutChannels {
			for i := range in {
				naiveTaps(c.Window, func(p, t, s int, _ bool) {
					if s >= 0 {
						body((image*c.OutChannels+o)*size(c.Out)+p,
							(image*c.InChannels+o/out*in+i)*size(c.In)+s,
							(o*in+i)*size(c.Kernel)+t)
					}
				})
			}
		}
	}
}

// randomWindow draws a geometry of rank 1 to 3; the output follows ONNX's
// formula with a rounding drawn as well.
func randomWindow(rng *rand.Rand, dilated bool) Window {
	rank := 1 + rng.IntN(3)
	most := []int{0, 40, 13, 7}[rank]
	var w Window
	for range rank {
		in, k, s, d := 1+rng.IntN(most), 1+rng.IntN(4), 1+rng.IntN(3), 1
		if dilated {
			d = 1 + rng.IntN(3)
		}
		if rng.IntN(3) == 0 {
			k, s = 1, 1
		}
		reach := (k-1)*d + 1
		begin, end := rng.IntN(reach), rng.IntN(reach)
		room := in + begin + end - reach
		if room < 0 {
			in -= room
			room = 0
		}
		out := room/s + 1
		if rng.IntN(2) == 0 {
			out = (room+s-1)/s + 1 // ceil_mode
			if (out-1)*s >= in+begin {
				out--
			}
		}
		w.In, w.Kernel = append(w.In, in), append(w.Kernel, k)
		w.Stride, w.Dilation = append(w.Stride, s), append(w.Dilation, d)
		w.PadBegin, w.PadEnd, w.Out = append(w.PadBegin, begin), append(w.PadEnd, end), append(w.Out, out)
	}
	return w
}

// sums is an array of plain sums with the absolute values that entered them.
type sums struct {
	value, mass []float64
	terms       []int
}

func newSums(n int) sums {
	return sums{make([]float64, n), make([]float64, n), make([]int, n)}
}

func (s sums) add(i int, v float64) {
	s.value[i] += v
	s.mass[i] += math.Abs(v)
	s.terms[i]++
}

// worst returns the index at which got leaves the rounding bound, or -1.
func worst[T Float](s sums, got []T) int {
	if len(got) != len(s.value) {
		return 0
	}
	for i, v := range got {
		if d := math.Abs(float64(v) - s.value[i]); !(d <= bound[T](s.terms[i], s.mass[i])) {
			return i
		}
	}
	return -1
}
