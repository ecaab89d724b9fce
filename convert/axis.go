package convert

import (
	"fmt"
	"slices"

	"efcn/onnxio/shape"
)

// axis is the geometry of a linear operator along one spatial axis: for every
// output index, the input indices it reads and their coefficients.
type axis struct {
	in    int // length of the input along the axis
	coefs int // number of coefficients along the axis
	taps  [][]Tap
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

	axes []axis
}

// Tap is one input position that an output position reads, and the index of
// its coefficient. No two taps of an output position share an input position.
type Tap struct{ In, Coef int32 }

// product returns the geometry of an operator that does along each axis what
// axes say: output position (p₁,…) reads input position (q₁,…) with the
// coefficient (k₁,…), all numbered in row-major order, if p₁ reads q₁ with k₁
// along the first axis and so on.
func product(axes []axis) *Taps {
	t := &Taps{In: 1, Out: 1, Coefs: 1, axes: axes}
	for _, a := range axes {
		t.In, t.Out, t.Coefs = t.In*a.in, t.Out*len(a.taps), t.Coefs*a.coefs
	}
	return t
}

// At returns the taps of output position p in ascending order of In. They are
// put into buf if that has room.
func (t *Taps) At(p int, buf []Tap) []Tap {
	taps := append(buf[:0], Tap{})
	below := t.Out // positions that one index of this axis stands for
	for _, a := range t.axes {
		below /= len(a.taps)
		along := a.taps[p/below%len(a.taps)]
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
				taps[i*len(along)+j] = Tap{o.In*int32(a.in) + along[j].In, o.Coef*int32(a.coefs) + along[j].Coef}
			}
		}
	}
	return taps
}

// Count returns the number of taps of all output positions.
func (t *Taps) Count() int64 {
	n := int64(1)
	for _, a := range t.axes {
		along := int64(0)
		for _, taps := range a.taps {
			along += int64(len(taps))
		}
		n *= along
	}
	return n
}

// window is the geometry of a convolution or pooling along one axis. Pads are
// resolved: they hold what auto_pad stands for.
type window struct {
	in, out                  int
	kernel, stride, dilation int
	padBegin, padEnd         int
}

// maxAxis bounds the taps along one axis, far above any real layer: what is
// larger comes from a broken file.
const maxAxis = 1 << 26

// windows splits a geometry into its axes.
func windows(w shape.Window) ([]window, error) {
	ws := make([]window, len(w.In))
	for i := range ws {
		if w.Kernel[i] > maxAxis || w.Out[i] > maxAxis || w.Kernel[i]*w.Out[i] > maxAxis {
			return nil, fmt.Errorf("kernel %v on %v positions: more than %d taps along an axis", w.Kernel, w.Out, maxAxis)
		}
		ws[i] = window{
			in: int(w.In[i]), out: int(w.Out[i]),
			kernel: int(w.Kernel[i]), stride: int(w.Stride[i]), dilation: int(w.Dilation[i]),
			padBegin: int(w.PadBegin[i]), padEnd: int(w.PadEnd[i]),
		}
	}
	return ws, nil
}

// axis returns the taps of the window: output p reads q = p·stride +
// t·dilation − padBegin, where that lies inside the input, and coef says with
// which of coefs coefficients, given p and t.
func (w window) axis(coefs int, coef func(p, t int) int) axis {
	a := axis{in: w.in, coefs: coefs, taps: make([][]Tap, w.out)}
	for p := range w.out {
		for t := range w.kernel {
			if q := p*w.stride + t*w.dilation - w.padBegin; q >= 0 && q < w.in {
				a.taps[p] = append(a.taps[p], Tap{int32(q), int32(coef(p, t))})
			}
		}
	}
	return a
}

// cells returns how many cells of the window at output p lie in the input or,
// with the padding counted, in the padded input. A window that ceil_mode lets
// reach past the padding does not count what lies beyond it.
func (w window) cells(p int, padding bool) int {
	lo, hi := 0, w.in
	if padding {
		lo, hi = -w.padBegin, w.in+w.padEnd
	}
	n := 0
	for t := range w.kernel {
		if q := p*w.stride + t*w.dilation - w.padBegin; q >= lo && q < hi {
			n++
		}
	}
	return n
}

// windowRecord starts the record of a layer with its shapes and geometry.
func windowRecord(in, out value, w shape.Window) LayerRecord {
	rec := vectorRecord(in, out)
	rec.KernelShape, rec.Strides, rec.Dilations = w.Kernel, w.Stride, w.Dilation
	rec.Pads = slices.Concat(w.PadBegin, w.PadEnd)
	return rec
}
