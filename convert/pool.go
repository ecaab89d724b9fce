package convert

import (
	"fmt"
	"slices"

	"efcn/convert/affine"
	"efcn/onnxio"
	"efcn/onnxio/shape"
)

func init() {
	register("AveragePool", operator{
		becomes: "a matrix (Gemm)", plan: planAveragePool, layer: anyNode, notNegative: sameSign,
		window: poolWindow, absorb: absorbIntoAverage, kept: explicitWindow,
	})
	register("GlobalAveragePool", operator{
		becomes: "a matrix (Gemm)", plan: planGlobalAveragePool, layer: anyNode,
		notNegative: sameSign,
	})
}

// planAveragePool plans a pooling by averages of any number of spatial axes,
// with every attribute. Its entries are 1/n, n the cells that are averaged.
// https://onnx.ai/onnx/operators/onnx__AveragePool.html, versions 1 to 22.
func planAveragePool(pl *planner, n *onnxio.Node) ([]*piece, error) {
	in, out, err := pl.linear(n)
	if err != nil {
		return nil, err
	}
	if len(in.dims) < 2 || len(out.dims) != len(in.dims) {
		return nil, fmt.Errorf("input %q: want a batch, a channel and at least one spatial axis, got N×%v", n.Input(0),
			in.dims)
	}
	padding, err := n.Int("count_include_pad", 0)
	if err != nil {
		return nil, err
	}
	win, err := shape.PoolWindow(n, in.tensor())
	if err != nil {
		return nil, err
	}
	ws, err := affine.Windows(win)
	if err != nil {
		return nil, err
	}
	taps, divisors := affine.AverageTaps(ws, padding != 0)
	rec := windowRecord(in, out, win)
	rec.CountIncludePad = padding != 0
	return pl.embed(n, affine.Averages(in.dims[0], taps, divisors), rec, 0, false)
}

// planGlobalAveragePool plans the average of every channel.
// https://onnx.ai/onnx/operators/onnx__GlobalAveragePool.html, versions 1 to 22.
func planGlobalAveragePool(pl *planner, n *onnxio.Node) ([]*piece, error) {
	in, out, err := pl.linear(n)
	if err != nil {
		return nil, err
	}
	if len(in.dims) < 2 {
		return nil, keep("N×%v has no spatial axis", in.dims)
	}
	positions := in.size() / max(in.dims[0], 1)
	return pl.embed(n, affine.Averages(in.dims[0], affine.GlobalTaps(positions), []int{positions}),
		vectorRecord(in, out), 0, false)
}

// explicitWindow returns the attributes of a pooling that is kept. They are its
// own, but for a pooling with ceil_mode whose last window would start in the
// padding: onnx's shape inference counts that window, runtimes do not, and the
// checker finds a contradiction. Padding at the end that comes out even says
// the same without ceil_mode, unless the padding is averaged over.
func explicitWindow(pl *planner, n *onnxio.Node) []*onnxio.Attribute {
	t, _ := pl.plan.typeOf(n.Input(0))
	if ceil, _ := n.Int("ceil_mode", 0); ceil != 1 || !t.HasShape || len(t.Shape) < 3 {
		return n.Attributes
	}
	if padding, _ := n.Int("count_include_pad", 0); padding != 0 {
		return n.Attributes
	}
	dims := []int64{1}
	for _, d := range t.Shape[1:] {
		dims = append(dims, d.Value)
	}
	w, err := shape.PoolWindow(n, dims)
	if err != nil || slices.Contains(dims, -1) {
		return n.Attributes
	}
	ends := slices.Clone(w.PadEnd)
	dropped := false
	for i := range ends {
		extent := (w.Kernel[i]-1)*w.Dilation[i] + 1
		room := w.In[i] + w.PadBegin[i] + w.PadEnd[i] - extent
		dropped = dropped || (room+w.Stride[i]-1)/w.Stride[i]+1 != w.Out[i]
		ends[i] = max(0, (w.Out[i]-1)*w.Stride[i]+extent-w.In[i]-w.PadBegin[i])
		if ends[i] >= w.Kernel[i] { // more than runtimes take
			return n.Attributes
		}
	}
	if !dropped {
		return n.Attributes
	}
	attrs := []*onnxio.Attribute{onnxio.IntsAttr("pads", slices.Concat(w.PadBegin, ends)...)}
	for _, a := range n.Attributes {
		if a.Name != "pads" && a.Name != "ceil_mode" && a.Name != "auto_pad" {
			attrs = append(attrs, a)
		}
	}
	return attrs
}
