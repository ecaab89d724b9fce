package convert

import (
	"fmt"
	"slices"

	"efcn/convert/affine"
	"efcn/convert/record"
	"efcn/onnxio"
	"efcn/onnxio/shape"
)

// windowRecord starts the record of a layer with its shapes and geometry.
func windowRecord(in, out value, w shape.Window) record.Layer {
	rec := vectorRecord(in, out)
	rec.KernelShape, rec.Strides, rec.Dilations = w.Kernel, w.Stride, w.Dilation
	rec.Pads = slices.Concat(w.PadBegin, w.PadEnd)
	return rec
}

func init() {
	register("Conv", operator{
		becomes: "a matrix (Gemm)", plan: planConv, layer: anyNode, window: convWindow,
		absorb: absorbZeros,
	})
}

// convolution is what a Conv or ConvTranspose node is made of.
type convolution struct {
	in, out       value
	weights, bias []float32
	kernelDims    []int64 // of the weights, with their two channel axes
	group         int64
	geometry      shape.Window
	windows       []affine.Window // geometry, axis by axis
}

// convolution reads a Conv or ConvTranspose node; resolve finds its geometry.
func (pl *planner) convolution(
	n *onnxio.Node, resolve func(n *onnxio.Node, x, w []int64) (shape.Window, error),
) (*convolution, error) {
	c := &convolution{}
	var err error
	if c.in, c.out, err = pl.linear(n); err != nil {
		return nil, err
	}
	if len(c.in.dims) < 2 || len(c.out.dims) != len(c.in.dims) {
		return nil, fmt.Errorf("input %q: want a batch, a channel and at least one spatial axis, got N×%v", n.Input(0),
			c.in.dims)
	}
	var ok bool
	if c.weights, c.kernelDims, ok, err = pl.floats(n, 1, "W"); err != nil {
		return nil, err
	}
	if !ok || len(c.kernelDims) != len(c.in.dims)+1 {
		return nil, fmt.Errorf("W: want %d axes, got shape %v", len(c.in.dims)+1, c.kernelDims)
	}
	if c.bias, _, _, err = pl.floats(n, 2, "B"); err != nil {
		return nil, err
	}
	if c.group, err = n.Int("group", 1); err != nil {
		return nil, err
	}
	if c.group < 1 {
		return nil, fmt.Errorf("group %d: want 1 or more", c.group)
	}
	if c.geometry, err = resolve(n, c.in.tensor(), c.kernelDims); err != nil {
		return nil, err
	}
	c.windows, err = affine.Windows(c.geometry)
	return c, err
}

// record starts the record of the layer.
func (c *convolution) record() record.Layer {
	rec := windowRecord(c.in, c.out, c.geometry)
	rec.Group = c.group
	return rec
}

// planConv plans a convolution of any number of spatial axes, with every
// attribute: groups, strides, dilations, pads at both ends, auto_pad.
// https://onnx.ai/onnx/operators/onnx__Conv.html, versions 1 to 22.
func planConv(pl *planner, n *onnxio.Node) ([]*piece, error) {
	c, err := pl.convolution(n, shape.ConvWindow)
	if err != nil {
		return nil, err
	}
	if c.kernelDims[1]*c.group != int64(c.in.dims[0]) || c.kernelDims[0] != int64(c.out.dims[0]) ||
		c.kernelDims[0]%c.group != 0 {
		return nil, fmt.Errorf("group %d: W of shape %v does not take %d channels to %d", c.group, c.kernelDims,
			c.in.dims[0], c.out.dims[0])
	}
	m := &affine.Map{
		Groups: int(c.group), InChannels: c.in.dims[0], OutChannels: c.out.dims[0],
		Taps: affine.ConvTaps(c.windows), Kernel: c.weights, Bias: c.bias,
	}
	return pl.embed(n, m, c.record(), len(c.weights)+len(c.bias), true)
}
