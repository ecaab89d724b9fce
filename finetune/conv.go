package finetune

import (
	"efcn/internal/kernel"
	"efcn/onnxio"
	"efcn/onnxio/shape"
)

func init() { register("Conv", emitConv[float32], emitConv[float64], convFanIn) }

// convFanIn: all but the first axis of a kernel lie before one output. PyTorch counts
// so for a transposed convolution too.
func convFanIn(o *operator) {
	o.fanIn = func(r *reinitializer, n *onnxio.Node) (at, fan int) {
		if w := r.t.initializers[n.Input(1)]; w != nil && len(w.Dims) > 1 {
			return 1, product(toInts(w.Dims[1:]))
		}
		return 1, 0
	}
}

// conv is a convolution of n images; its inputs are x, the kernel and, if
// there is one, the bias.
type conv[T kernel.Float] struct {
	kernel.Conv[T]
	n int
}

func (c *conv[T]) forward(in [][]T, y []T) {
	var bias []T
	if len(in) > 2 {
		bias = in[2]
	}
	c.Forward(c.n, in[0], in[1], bias, y)
}

func (c *conv[T]) needs() needs { return needs{inputs: true} }

func (c *conv[T]) backward(p pass[T]) {
	if p.din[0] != nil {
		c.BackwardInput(c.n, p.dout, p.in[1], p.din[0])
	}
	var db []T
	if len(p.din) > 2 {
		db = p.din[2]
	}
	switch {
	case p.din[1] != nil:
		c.BackwardWeights(c.n, p.in[0], p.dout, p.din[1], db)
	case db != nil:
		kernel.SumPlanes(c.n, product(c.Out), p.dout, db)
	}
}

func emitConv[T kernel.Float](n *node[T]) error {
	x, w, group, err := n.convolution()
	if err != nil {
		return err
	}
	window, err := shape.ConvWindow(n.Node, n.withBatch(x), w.Dims)
	if err != nil {
		return n.Wrap(err)
	}
	c := &conv[T]{kernel.Conv[T]{
		Groups: group, InChannels: x.shape[0], OutChannels: int(w.Dims[0]),
		Window: toWindow(window),
	}, n.b.a.net.batch}
	if err := c.Validate(); err != nil {
		return n.Wrap(err)
	}
	if int(w.Dims[1])*c.Groups != c.InChannels {
		return n.Errorf("weights %q have shape %v, the input %d channels in %d groups", w.Name, w.Dims, c.InChannels,
			c.Groups)
	}
	return n.emitConvolution(c, x, c.OutChannels, c.Out)
}

// convolution returns the input, the kernel and the number of groups of a Conv or
// ConvTranspose.
func (n *node[T]) convolution() (x value, w *onnxio.Tensor, group int, err error) {
	if x, err = n.activation(0); err != nil {
		return x, nil, 0, err
	}
	if w, err = n.constant(1); err != nil {
		return x, nil, 0, err
	}
	groups, err := n.Int("group", 1)
	if err != nil {
		return x, nil, 0, n.Wrap(err)
	}
	if w == nil || len(w.Dims) != len(x.shape)+1 {
		return x, nil, 0, n.Errorf("the weights do not fit an input of shape %v a sample", x.shape)
	}
	return x, w, int(groups), nil
}

// emitConvolution adds a layer with a kernel and, if there is one, a bias, whose output
// is channels × spatial.
func (n *node[T]) emitConvolution(l layer[T], x value, channels int, spatial []int) error {
	weights, err := n.parameter(1)
	if err != nil {
		return err
	}
	bias, err := n.parameter(2, channels)
	if err != nil {
		return err
	}
	return n.emit(l, append([]int{channels}, spatial...), []value{x}, weights, bias)
}

// withBatch returns the full shape of a value.
func (n *node[T]) withBatch(v value) []int64 {
	dims := []int64{int64(n.b.a.net.batch)}
	for _, d := range v.shape {
		dims = append(dims, int64(d))
	}
	return dims
}

func toWindow(w shape.Window) kernel.Window {
	return kernel.Window{
		In: toInts(w.In), Kernel: toInts(w.Kernel), Stride: toInts(w.Stride), Dilation: toInts(w.Dilation),
		PadBegin: toInts(w.PadBegin), PadEnd: toInts(w.PadEnd), Out: toInts(w.Out),
	}
}
