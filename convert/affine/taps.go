package affine

import (
	"slices"
)

// Axis is the geometry of a linear operator along one spatial axis: for every
// output index, the input indices it reads and their coefficients.
type Axis struct {
	In    int // length of the input along the axis
	Coefs int // number of coefficients along the axis
	Taps  [][]Tap
}

// Taps says for every output position of a linear operator which input
// positions it reads, and which coefficient of the kernel each is multiplied
// with. It is geometry only.
//
// The operators of this package are separable: what one does in space is the
// product of what it does along each axis. That product is never stored, so a
// geometry takes no more memory than the sum of its axes.
type Taps struct {
	In, Out int // number of input and output positions
	Coefs   int // coefficients that a kernel has for one pair of channels

	axes []Axis
}

// Tap is one input position that an output position reads, and the index of
// its coefficient. No two taps of an output position share an input position.
type Tap struct{ In, Coef int32 }

// NewTaps returns the geometry of an operator that does along each axis what
// axes say: output position (p₁,…) reads input position (q₁,…) with the
// coefficient (k₁,…), all numbered in row-major order, if p₁ reads q₁ with k₁
// along the first axis and so on.
func NewTaps(axes []Axis) *Taps {
	t := &Taps{In: 1, Out: 1, Coefs: 1, axes: axes}
	for _, a := range axes {
		t.In, t.Out, t.Coefs = t.In*a.In, t.Out*len(a.Taps), t.Coefs*a.Coefs
	}
	return t
}

// At returns the taps of output position p in ascending order of In. They are
// put into buf if that has room.
func (t *Taps) At(p int, buf []Tap) []Tap {
	taps := append(buf[:0], Tap{})
	below := t.Out // positions that one index of this axis stands for
	for _, a := range t.axes {
		below /= len(a.Taps)
		along := a.Taps[p/below%len(a.Taps)]
		if len(along) == 0 { // a window that lies in the padding altogether
			return taps[:0]
		}
		// Each tap so far is replaced by as many as there are along this axis,
		// from the last, so that none is overwritten before it was read.
		outer := len(taps)
		taps = slices.Grow(taps, outer*len(along))[:outer*len(along)]
		for i := outer - 1; i >= 0; i-- {
			o := taps[i]
			for j := len(along) - 1; j >= 0; j-- {
				taps[i*len(along)+j] = Tap{o.In*int32(a.In) + along[j].In, o.Coef*int32(a.Coefs) + along[j].Coef}
			}
		}
	}
	return taps
}

// Equal reports whether every output position has the same taps in t and u.
func (t *Taps) Equal(u *Taps) bool {
	if t.In != u.In || t.Out != u.Out || t.Coefs != u.Coefs {
		return false
	}
	var a, b []Tap
	for p := range t.Out {
		if a, b = t.At(p, a), u.At(p, b); !slices.Equal(a, b) {
			return false
		}
	}
	return true
}

// Count returns the number of taps of all output positions.
func (t *Taps) Count() int64 {
	n := int64(1)
	for _, a := range t.axes {
		along := int64(0)
		for _, taps := range a.Taps {
			along += int64(len(taps))
		}
		n *= along
	}
	return n
}

// perPosition returns the different numbers of taps that output positions have.
func (t *Taps) perPosition() []int {
	counts := []int{1}
	for _, a := range t.axes {
		along := make(map[int]bool)
		for _, taps := range a.Taps {
			along[len(taps)] = true
		}
		var next []int
		for _, c := range counts {
			for n := range along {
				next = append(next, c*n)
			}
		}
		counts = next
	}
	return counts
}
