package cuda

import (
	"efcn/internal/kernel"
)

// window is struct Window of kernels/window.h.
type window struct {
	in, kernel, stride, dilation, pad, padEnd, out [3]int32
}

// toWindow brings a window to three axes, by axes of length one in front.
func toWindow(call string, w kernel.Window) (window, error) {
	var v window
	if err := w.Validate(); err != nil {
		return v, err
	}
	front := 3 - len(w.In)
	for i := range front {
		v.in[i], v.kernel[i], v.stride[i], v.dilation[i], v.out[i] = 1, 1, 1, 1, 1
	}
	for _, list := range []struct {
		to   *[3]int32
		from []int
	}{
		{&v.in, w.In},
		{&v.kernel, w.Kernel},
		{&v.stride, w.Stride},
		{&v.dilation, w.Dilation},
		{&v.pad, w.PadBegin},
		{&v.padEnd, w.PadEnd},
		{&v.out, w.Out},
	} {
		if err := checkInts(call, list.from...); err != nil {
			return v, err
		}
		for i, x := range list.from {
			list.to[front+i] = int32(x)
		}
	}
	return v, checkInts(call, w.InSize(), w.OutSize(), w.Taps())
}
