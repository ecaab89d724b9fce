package kernel

import (
	"errors"
	"fmt"
)

// Window is the geometry in which a convolution or pooling slides over the
// spatial axes, 1 to 3 of them; every list has one entry per axis, outermost
// first. Output position p reads, at tap t, input position
// p·Stride + t·Dilation − PadBegin; outside [0, In) lies padding.
//
// Out is given, not derived: it is the formula of ONNX with either rounding
// (ceil_mode), and a window may hang over the padded end. Padding matters to
// the arithmetic only through PadBegin; PadEnd counts for the average that
// includes it.
type Window struct {
	In, Kernel, Stride, Dilation, PadBegin, PadEnd, Out []int
}

// Validate reports lists of unequal length, more than 3 axes, and values out
// of range.
func (w Window) Validate() error {
	rank := len(w.In)
	if rank < 1 || rank > 3 {
		return fmt.Errorf("window over %d spatial axes; 1 to 3 work", rank)
	}
	lists := []struct {
		name   string
		values []int
		least  int
	}{
		{"input size", w.In, 0},
		{"kernel", w.Kernel, 1},
		{"stride", w.Stride, 1},
		{"dilation", w.Dilation, 1},
		{"pads at the beginning", w.PadBegin, 0},
		{"pads at the end", w.PadEnd, 0},
		{"output size", w.Out, 0},
	}
	var errs []error
	for _, l := range lists {
		if len(l.values) != rank {
			errs = append(errs, fmt.Errorf("%s: want %d values, got %d", l.name, rank, len(l.values)))
			continue
		}
		for _, v := range l.values {
			if v < l.least {
				errs = append(errs, fmt.Errorf("%s: %d is less than %d", l.name, v, l.least))
			}
		}
	}
	return errors.Join(errs...)
}

// InSize returns the number of input positions, OutSize of output positions,
// Taps of positions in the kernel.
func (w Window) InSize() int { return product(w.In) }

// OutSize returns the number of output positions.
func (w Window) OutSize() int { return product(w.Out) }

// Taps returns the number of positions of the kernel.
func (w Window) Taps() int { return product(w.Kernel) }

func product(v []int) int {
	p := 1
	for _, x := range v {
		p *= x
	}
	return p
}

// volume is a Window brought to three axes, depth, height and width, by axes
// of length one in front.
type volume struct {
	in, kernel, stride, dilation, pad, padEnd, out [3]int
}

func (w Window) volume() volume {
	if err := w.Validate(); err != nil {
		panic("kernel: " + err.Error())
	}
	var v volume
	front := 3 - len(w.In)
	for i := range front {
		v.in[i], v.kernel[i], v.stride[i], v.dilation[i], v.out[i] = 1, 1, 1, 1, 1
	}
	copy(v.in[front:], w.In)
	copy(v.kernel[front:], w.Kernel)
	copy(v.stride[front:], w.Stride)
	copy(v.dilation[front:], w.Dilation)
	copy(v.pad[front:], w.PadBegin)
	copy(v.padEnd[front:], w.PadEnd)
	copy(v.out[front:], w.Out)
	return v
}

func (v *volume) inSize() int  { return v.in[0] * v.in[1] * v.in[2] }
func (v *volume) outSize() int { return v.out[0] * v.out[1] * v.out[2] }
func (v *volume) taps() int    { return v.kernel[0] * v.kernel[1] * v.kernel[2] }

// source returns the input position that output position p reads at tap t
// along axis a; it may lie in the padding.
func (v *volume) source(a, p, t int) int {
	return p*v.stride[a] + t*v.dilation[a] - v.pad[a]
}

// reach returns the output positions [lo, hi) along axis a whose tap t lies
// inside the input.
func (v *volume) reach(a, t int) (lo, hi int) {
	offset := t*v.dilation[a] - v.pad[a]
	// p·stride + offset >= 0 and <= in-1.
	// A tap that never does has an empty range, inside the output as well.
	lo = min(max(0, ceilDiv(-offset, v.stride[a])), v.out[a])
	hi = min(v.out[a], floorDiv(v.in[a]-1-offset, v.stride[a])+1)
	return lo, max(lo, hi)
}

func floorDiv(a, b int) int {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

func ceilDiv(a, b int) int { return -floorDiv(-a, b) }

// pointwise reports whether every output position reads the input at the same
// position and nothing else.
func (v *volume) pointwise() bool {
	one, zero := [3]int{1, 1, 1}, [3]int{}
	return v.kernel == one && v.stride == one && v.pad == zero && v.in == v.out
}
