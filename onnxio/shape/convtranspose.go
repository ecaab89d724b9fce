package shape

import (
	"fmt"

	"efcn/onnxio"
)

func init() { register("ConvTranspose", op{rule: convTranspose, real: true, weighted: true}) }

// convTranspose infers ConvTranspose-1/11/22: x [N, C, spatial...], weights [C,
// O/group, kernel...], bias [O].
func convTranspose(c *call) ([]*value, error) {
	v, err := c.convolution()
	if err != nil || !v.ranked {
		return []*value{unshaped(v.elem)}, err
	}
	channels, perGroup := v.channels, v.inner
	if channels.known() && v.outer.known() && channels.coef != v.outer.coef {
		return nil, fmt.Errorf("input %q has %v channels; weights %q of shape %v want %v", c.Input(0), channels,
			c.Input(1), c.in[1], v.outer)
	}
	if channels.known() && channels.coef%v.group != 0 {
		return nil, fmt.Errorf("%v input channels do not divide into %d groups", channels, v.group)
	}
	filters, ok := mul(perGroup, fixed(v.group))
	if !ok {
		return nil, fmt.Errorf("%v output channels in each of %d groups: %w", perGroup, v.group, onnxio.ErrTooLarge)
	}
	if err := c.biasFits(filters); err != nil {
		return nil, err
	}
	out, err := c.transposedSizes(v)
	if err != nil {
		return nil, err
	}
	return v.result(filters, out), nil
}

// transposedSizes returns the spatial sizes of the output, where they are known, from
// those of the input and of the weights.
func (c *call) transposedSizes(v convolution) ([]num, error) {
	in := v.in
	out := c.s.unknownDims(len(in))
	kernelShape, err := c.Ints("kernel_shape")
	if err == nil {
		kernelShape, err = v.kernelShape(kernelShape)
	}
	if err != nil || kernelShape == nil {
		return out, err
	}
	// An axis of unknown size is resolved as if it were 1; its output stays
	// unknown unless the node fixes it.
	sizes := make([]int64, len(in))
	for i, d := range in {
		if sizes[i] = 1; d.known() {
			sizes[i] = d.coef
		}
	}
	window, fixedOut, err := transposeWindow(c.Node, sizes, kernelShape)
	if err != nil {
		return nil, err
	}
	for i, d := range in {
		if d.known() || fixedOut {
			out[i] = fixed(window.Out[i])
		}
	}
	return out, nil
}

// ConvTransposeWindow returns the geometry of a ConvTranspose node from the
// shapes of its input [N, C, spatial...] and weights [C, O/group, kernel...].
// In a transposed window input position p and kernel tap t meet output position
// p·Stride + t·Dilation - PadBegin; what output_padding or output_shape adds
// past the last tap is the bias alone. PadBegin and PadEnd are what the
// specification's equations give, but never negative.
func ConvTransposeWindow(n *onnxio.Node, x, w []int64) (Window, error) {
	if len(x) < 3 || len(w) != len(x) {
		return Window{}, fmt.Errorf("input %v and weights %v must have one rank, at least 3", x, w)
	}
	kernel, err := n.Ints("kernel_shape")
	if err != nil {
		return Window{}, err
	}
	if kernel == nil {
		kernel = w[2:]
	}
	if err := sameKernel(kernel, w[2:]); err != nil {
		return Window{}, err
	}
	window, _, err := transposeWindow(n, x[2:], kernel)
	return window, err
}

// transposeWindow also reports whether the node gives the output size itself.
func transposeWindow(n *onnxio.Node, in, kernel []int64) (w Window, given bool, err error) {
	spec, err := windowSpec(n, in)
	if err != nil {
		return w, false, err
	}
	outputShape, err := n.Ints("output_shape")
	if err != nil {
		return w, false, err
	}
	extra, err := n.Ints("output_padding")
	if err != nil {
		return w, false, err
	}
	axes := len(in)
	if extra == nil {
		extra = make([]int64, axes)
	}
	if outputShape != nil {
		spec.Pads = nil // "If output_shape is specified pads values are ignored."
	}
	spec.Kernel = kernel
	if len(kernel) != axes || len(extra) != axes || outputShape != nil && len(outputShape) != axes {
		return w, false, fmt.Errorf("kernel_shape %v, output_padding %v and output_shape %v: want %d values each",
			kernel, extra, outputShape, axes)
	}
	if w, err = spec.defaults(); err != nil {
		return w, false, err
	}
	w.In = in
	for i := range axes {
		if err := w.transposeAxis(spec.AutoPad, i, extra[i], outputShape); err != nil {
			return w, false, fmt.Errorf("spatial axis %d: %w", i, err)
		}
	}
	return w, outputShape != nil, nil
}

// transposeAxis sets the pads and output size of one axis.
func (w *Window) transposeAxis(autoPad string, i int, extra int64, outputShape []int64) error {
	if extra < 0 || extra >= max(w.Stride[i], w.Dilation[i]) {
		return fmt.Errorf("output_padding %d must be at least 0 and less than the stride %d or dilation %d", extra,
			w.Stride[i], w.Dilation[i])
	}
	extent, err := w.extent(i)
	if err != nil {
		return err
	}
	full, ok := mulInt(w.Stride[i], w.In[i]-1)
	if ok {
		full, ok = addInt(full, extent)
	}
	if ok {
		full, ok = addInt(full, extra)
	}
	if !ok {
		return onnxio.ErrTooLarge
	}
	switch {
	case outputShape != nil:
		w.Out[i] = outputShape[i]
	case autoPad == "SAME_UPPER" || autoPad == "SAME_LOWER":
		if w.Out[i], ok = mulInt(w.In[i], w.Stride[i]); !ok {
			return onnxio.ErrTooLarge
		}
		if full < w.Out[i] {
			return fmt.Errorf("auto_pad %s with a kernel smaller than the stride: the specification says size "+
				"%d, runtimes make %d; give output_shape", autoPad, w.Out[i], full)
		}
	default:
		pads, ok := addInt(w.PadBegin[i], w.PadEnd[i])
		if !ok {
			return onnxio.ErrTooLarge
		}
		if w.Out[i] = full - pads; w.Out[i] < 0 {
			return fmt.Errorf("pads %d and %d cut more than the output %d", w.PadBegin[i], w.PadEnd[i], full)
		}
		return nil
	}
	if w.Out[i] < 0 {
		return fmt.Errorf("output size %d is negative", w.Out[i])
	}
	total := max(0, full-w.Out[i])
	w.PadBegin[i], w.PadEnd[i] = total-total/2, total/2
	if autoPad == "SAME_UPPER" {
		w.PadBegin[i], w.PadEnd[i] = w.PadEnd[i], w.PadBegin[i]
	}
	return nil
}
