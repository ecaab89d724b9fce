package convert

import (
	"fmt"

	"efcn/onnxio"
	"efcn/onnxio/shape"
)

func init() {
	register("Conv", operator{becomes: "a matrix (Gemm)", plan: planConv})
}

// planConv plans a convolution of any number of spatial axes, with every
// attribute: groups, strides, dilations, pads at both ends, auto_pad.
// https://onnx.ai/onnx/operators/onnx__Conv.html, versions 1 to 22.
func planConv(pl *planner, n *onnxio.Node) (step, error) {
	in, out, err := pl.linear(n)
	if err != nil {
		return nil, err
	}
	if len(in.dims) < 2 {
		return nil, fmt.Errorf("input %q: want a batch, a channel and at least one spatial axis, got N×%v", n.Input(0), in.dims)
	}
	w, kernelDims, ok, err := pl.floats(n, 1, "W")
	if err != nil {
		return nil, err
	}
	if !ok || len(kernelDims) != len(in.dims)+1 {
		return nil, fmt.Errorf("W: want %d axes, got shape %v", len(in.dims)+1, kernelDims)
	}
	bias, _, hasBias, err := pl.floats(n, 2, "B")
	if err != nil {
		return nil, err
	}
	if !hasBias {
		bias = nil
	}
	group, err := n.Int("group", 1)
	if err != nil {
		return nil, err
	}
	if group < 1 || kernelDims[1]*group != int64(in.dims[0]) || kernelDims[0]%group != 0 {
		return nil, fmt.Errorf("group %d: W of shape %v does not fit %d input channels", group, kernelDims, in.dims[0])
	}
	win, err := shape.ConvWindow(n, in.tensor(), kernelDims)
	if err != nil {
		return nil, err
	}
	ws, err := windows(win)
	if err != nil {
		return nil, err
	}
	m := &Map{
		Groups: int(group), InChannels: in.dims[0], OutChannels: out.dims[0],
		Taps: convTaps(ws), Kernel: w, Bias: bias,
	}
	rec := windowRecord(in, out, win)
	rec.Group = group
	return pl.embed(n, m, rec, len(w)+len(bias), true)
}

// convTaps returns the taps of a convolution: along each axis, output p reads
// q = p·stride + t·dilation − pad_begin with coefficient t.
func convTaps(ws []window) *Taps {
	axes := make([]axis, len(ws))
	for i, w := range ws {
		axes[i] = w.axis(w.kernel, func(_, t int) int { return t })
	}
	return product(axes)
}
