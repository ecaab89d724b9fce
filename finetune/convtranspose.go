package finetune

import (
	"efcn/internal/kernel"
	"efcn/onnxio/shape"
)

func init() {
	register("ConvTranspose", emitConvTranspose[float32], emitConvTranspose[float64], convFanIn)
}

// convTranspose is a transposed convolution of n images; its inputs are x, the
// kernel and, if there is one, the bias. It is the gradient at the input of the
// embedded Conv, whose own forward pass is then the gradient at x.
// https://onnx.ai/onnx/operators/onnx__ConvTranspose.html
type convTranspose[T kernel.Float] struct {
	kernel.Conv[T]
	n int
}

func (c *convTranspose[T]) forward(in [][]T, y []T) {
	c.BackwardInput(c.n, in[0], in[1], y)
	if len(in) < 3 {
		return
	}
	plane := product(c.In)
	kernel.Parallel(c.n*c.InChannels, 1+elementGrain/max(1, plane), func(lo, hi int) {
		for k := lo; k < hi; k++ {
			b := in[2][k%c.InChannels]
			for i := k * plane; i < (k+1)*plane; i++ {
				y[i] += b
			}
		}
	})
}

func (c *convTranspose[T]) needs() needs { return needs{inputs: true} }

func (c *convTranspose[T]) backward(p pass[T]) {
	if p.din[0] != nil {
		c.Forward(c.n, p.dout, p.in[1], nil, p.din[0])
	}
	if p.din[1] != nil {
		c.BackwardWeights(c.n, p.dout, p.in[0], p.din[1], nil)
	}
	if len(p.din) > 2 && p.din[2] != nil {
		kernel.SumPlanes(c.n, product(c.In), p.dout, p.din[2])
	}
}

func emitConvTranspose[T kernel.Float](n *node[T]) error {
	x, w, group, err := n.convolution()
	if err != nil {
		return err
	}
	if int(w.Dims[0]) != x.shape[0] {
		return n.Errorf("the weights do not fit an input of shape %v a sample", x.shape)
	}
	window, err := shape.ConvTransposeWindow(n.Node, n.withBatch(x), w.Dims)
	if err != nil {
		return n.Wrap(err)
	}
	g := toWindow(window)
	g.In, g.Out = g.Out, g.In
	c := &convTranspose[T]{kernel.Conv[T]{
		Groups: group, InChannels: int(w.Dims[1]) * group, OutChannels: x.shape[0],
		Window: g,
	}, n.b.a.net.batch}
	if err := c.Validate(); err != nil {
		return n.Wrap(err)
	}
	return n.emitConvolution(c, x, c.InChannels, c.In)
}
