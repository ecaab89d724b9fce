package affine

import (
	"fmt"

	"efcn/onnxio/shape"
)

// Window is the geometry of a convolution or pooling along one axis. Pads are
// resolved: they hold what auto_pad stands for.
type Window struct {
	In, Out                  int
	Kernel, Stride, Dilation int
	PadBegin, PadEnd         int
}

// MaxAxis bounds the taps along one axis, far above any real layer: what is
// larger comes from a broken file.
const MaxAxis = 1 << 26

// Windows splits a geometry into its axes.
func Windows(w shape.Window) ([]Window, error) {
	ws := make([]Window, len(w.In))
	for i := range ws {
		if w.Kernel[i] > MaxAxis || w.Out[i] > MaxAxis || w.Kernel[i]*w.Out[i] > MaxAxis {
			return nil, fmt.Errorf("kernel %v on %v positions: more than %d taps along an axis", w.Kernel, w.Out,
				MaxAxis)
		}
		ws[i] = Window{
			In: int(w.In[i]), Out: int(w.Out[i]),
			Kernel: int(w.Kernel[i]), Stride: int(w.Stride[i]), Dilation: int(w.Dilation[i]),
			PadBegin: int(w.PadBegin[i]), PadEnd: int(w.PadEnd[i]),
		}
	}
	return ws, nil
}

// Axis returns the taps of the window: output p reads q = p·stride +
// t·dilation − padBegin, where that lies inside the input, and coef says with
// which of coefs coefficients, given p and t.
func (w Window) Axis(coefs int, coef func(p, t int) int) Axis {
	a := Axis{In: w.In, Coefs: coefs, Taps: make([][]Tap, w.Out)}
	for p := range w.Out {
		for t := range w.Kernel {
			if q := p*w.Stride + t*w.Dilation - w.PadBegin; q >= 0 && q < w.In {
				a.Taps[p] = append(a.Taps[p], Tap{int32(q), int32(coef(p, t))})
			}
		}
	}
	return a
}

// Cells returns how many cells of the window at output p lie in the input or,
// with the padding counted, in the padded input. A window that ceil_mode lets
// reach past the padding does not count what lies beyond it.
func (w Window) Cells(p int, padding bool) int {
	lo, hi := 0, w.In
	if padding {
		lo, hi = -w.PadBegin, w.In+w.PadEnd
	}
	n := 0
	for t := range w.Kernel {
		if q := p*w.Stride + t*w.Dilation - w.PadBegin; q >= lo && q < hi {
			n++
		}
	}
	return n
}

// transposedAxis returns the taps of the transposed window: input q is spread
// over the outputs p = q·stride + t·dilation − padBegin, so output p reads the
// inputs for which that has a solution t.
func (w Window) transposedAxis() Axis {
	a := Axis{In: w.In, Coefs: w.Kernel, Taps: make([][]Tap, w.Out)}
	for q := range w.In {
		for t := range w.Kernel {
			if p := q*w.Stride + t*w.Dilation - w.PadBegin; p >= 0 && p < w.Out {
				a.Taps[p] = append(a.Taps[p], Tap{int32(q), int32(t)})
			}
		}
	}
	return a
}

func firstCoef(_, _ int) int { return 0 }
