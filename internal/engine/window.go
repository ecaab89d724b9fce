package engine

import (
	"fmt"
	"math"

	"efcn/internal/kernel"
)

// window holds the attributes that convolution and pooling share. Lists are nil
// where the node leaves them out.
type window struct {
	kernelShape, strides, dilations, pads []int64
	autoPad                               string
	ceil                                  bool
}

// windowOf reads the attributes; dilations and ceil_mode only where the version
// of the operator has them.
func windowOf(n *node, dilations, ceil bool) window {
	w := window{
		kernelShape: n.ints("kernel_shape"),
		strides:     n.ints("strides"),
		pads:        n.ints("pads"),
		autoPad:     n.string("auto_pad", "NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"),
	}
	if dilations {
		w.dilations = n.ints("dilations")
	}
	if ceil {
		w.ceil = n.flag("ceil_mode", false)
	}
	if w.autoPad != "NOTSET" {
		for _, p := range w.pads {
			if p != 0 {
				n.refuse("pads %v contradict auto_pad %s", w.pads, w.autoPad)
				break
			}
		}
		w.pads = nil
	}
	positive := func(name string, list []int64) {
		for _, v := range list {
			if v < 1 || v > math.MaxInt32 {
				n.refuse("%s %v: want values of at least 1", name, list)
				return
			}
		}
	}
	positive("kernel_shape", w.kernelShape)
	positive("strides", w.strides)
	positive("dilations", w.dilations)
	for _, p := range w.pads {
		if p < 0 || p > math.MaxInt32 {
			n.refuse("pads %v: want values of at least 0", w.pads)
			break
		}
	}
	return w
}

// listOr returns attribute values as ints, or def for each of rank axes.
func listOr(name string, list []int64, rank, def int) ([]int, error) {
	out := make([]int, rank)
	if list == nil {
		for i := range out {
			out[i] = def
		}
		return out, nil
	}
	if len(list) != rank {
		return nil, fmt.Errorf("%s: want %d values, got %d", name, rank, len(list))
	}
	for i, v := range list {
		out[i] = int(v)
	}
	return out, nil
}

// lists puts strides, dilations and pads for so many spatial axes into g, and returns the
// pads as the attribute has them.
func (w window) lists(g *kernel.Window, rank int) (pads []int, err error) {
	if g.Stride, err = listOr("strides", w.strides, rank, 1); err != nil {
		return nil, err
	}
	if g.Dilation, err = listOr("dilations", w.dilations, rank, 1); err != nil {
		return nil, err
	}
	if pads, err = listOr("pads", w.pads, 2*rank, 0); err == nil {
		g.PadBegin, g.PadEnd = pads[:rank:rank], pads[rank:]
	}
	return pads, err
}

// resolve works out the geometry on spatial axes of the given sizes, as the ONNX
// pages of Conv and AveragePool have it.
func (w window) resolve(in, kernelShape []int) (kernel.Window, error) {
	rank := len(in)
	g := kernel.Window{In: in, Kernel: kernelShape}
	if rank < 1 || rank > 3 {
		return g, fmt.Errorf("%d spatial axes are not supported; 1 to 3 are", rank)
	}
	if len(kernelShape) != rank {
		return g, fmt.Errorf("kernel_shape %v is not for %d spatial axes", kernelShape, rank)
	}
	pads, err := w.lists(&g, rank)
	if err != nil {
		return g, err
	}
	g.Out = make([]int, rank)
	for a, d := range in {
		if kernelShape[a] < 1 {
			return g, fmt.Errorf("kernel of shape %v is empty", kernelShape)
		}
		stride := g.Stride[a]
		if kernelShape[a] > 1 && g.Dilation[a] > math.MaxInt32/kernelShape[a] {
			return g, fmt.Errorf("kernel of shape %v with dilations %v is too large", kernelShape, g.Dilation)
		}
		extent := (kernelShape[a]-1)*g.Dilation[a] + 1
		if w.autoPad == "SAME_UPPER" || w.autoPad == "SAME_LOWER" {
			g.Out[a] = (d + stride - 1) / stride
			total := max(0, (g.Out[a]-1)*stride+extent-d)
			g.PadBegin[a], g.PadEnd[a] = total/2, total-total/2
			if w.autoPad == "SAME_LOWER" {
				g.PadBegin[a], g.PadEnd[a] = g.PadEnd[a], g.PadBegin[a]
			}
			continue
		}
		room := d + g.PadBegin[a] + g.PadEnd[a] - extent
		over := room > -stride
		if room >= 0 {
			g.Out[a], over = room/stride+1, room%stride != 0
		}
		if w.ceil && w.autoPad == "NOTSET" && over && g.Out[a]*stride < d+g.PadBegin[a] {
			// One more window, even where not one fits, unless it would begin in the
			// padding at the end.
			g.Out[a]++
		}
		if g.Out[a] == 0 {
			return g, fmt.Errorf("kernel %v with dilations %v does not fit in %v with pads %v", kernelShape,
				g.Dilation, in, pads)
		}
	}
	return g, nil
}

// spatial returns the axes after batch and channels.
func spatial(shape []int) ([]int, error) {
	if len(shape) < 3 {
		return nil, fmt.Errorf("input has shape %v; want batch, channels and spatial axes", shape)
	}
	return shape[2:], nil
}
