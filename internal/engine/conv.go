package engine

import (
	"fmt"
	"math"
	"slices"

	"efcn/internal/kernel"
	"efcn/onnxio"
)

// Conv (https://onnx.ai/onnx/operators/onnx__Conv.html) over 1 to 3 spatial axes,
// with every attribute: x [N, C, spatial], W [O, C/group, kernel], B [O].
func init() {
	register(operator{name: "Conv", limits: "1 to 3 spatial axes", inputs: "fff"}, conv[float32], conv[float64])
}

// convNode is the attributes of a Conv.
type convNode struct {
	window
	group int64
}

func conv[T kernel.Float](n *node) (compute[T], error) {
	n.conv = &convNode{windowOf(n, true, false), n.int("group", 1)}
	if group := n.conv.group; group < 1 || group > math.MaxInt32 {
		n.refuse("attribute group: want at least 1, got %d", group)
	}
	n.leads = true
	return func(x *exec[T], in []*Tensor[T]) ([]*Tensor[T], error) {
		v, weight, bias := in[0], in[1], in[2]
		if bias != nil && len(weight.Shape) > 0 && !slices.Equal(bias.Shape, weight.Shape[:1]) {
			return nil, fmt.Errorf("B has shape %v; want %v", bias.Shape, weight.Shape[:1])
		}
		g, err := n.conv.geometry(v.Shape, weight.Shape)
		if err != nil {
			return nil, err
		}
		c := kernel.Conv[T](g)
		if c.InChannels == 0 || c.OutChannels == 0 {
			return one(x.biasAlone(v.Type, append([]int{v.Shape[0], c.OutChannels}, c.Out...), bias))
		}
		if err := c.Validate(); err != nil {
			return nil, err
		}
		y, err := x.fresh(v.Type, append([]int{v.Shape[0], c.OutChannels}, c.Out...))
		if err != nil || len(y.F) == 0 {
			return one(y, err)
		}
		var b []T
		if bias != nil {
			b = bias.F
		}
		c.ForwardThen(v.Shape[0], v.F, weight.F, b, y.F, x.then(y))
		return []*Tensor[T]{y}, nil
	}, nil
}

// geometry works out the convolution of an input with weights of the given shapes.
func (n *convNode) geometry(in, weight []int) (kernel.Conv[float32], error) {
	var c kernel.Conv[float32]
	size, err := spatial(in)
	if err != nil {
		return c, err
	}
	if len(weight) != len(in) {
		return c, fmt.Errorf("W has shape %v; want as many axes as the input's %v", weight, in)
	}
	taps := weight[2:]
	if err := n.checkKernel(taps); err != nil {
		return c, err
	}
	c = kernel.Conv[float32]{Groups: int(n.group), InChannels: in[1], OutChannels: weight[0]}
	if weight[1]*c.Groups != c.InChannels {
		return c, fmt.Errorf("W of shape %v with group %d takes %d channels, the input %v has %d", weight, n.group,
			weight[1]*c.Groups, in, c.InChannels)
	}
	c.Window, err = n.resolve(size, taps)
	return c, err
}

// biasAlone is the result of a convolution that sums up nothing: its bias.
func (x *exec[T]) biasAlone(t onnxio.DataType, shape []int, bias *Tensor[T]) (*Tensor[T], error) {
	y, err := x.alloc(t, shape)
	if err != nil || bias == nil {
		return y, err
	}
	plane := product(shape[2:])
	for i := range y.F {
		y.F[i] = bias.F[i/plane%shape[1]]
	}
	return y, nil
}

// checkKernel compares the attribute kernel_shape, if it is there, with the
// weights.
func (w window) checkKernel(taps []int) error {
	if w.kernelShape == nil {
		return nil
	}
	want, err := listOr("kernel_shape", w.kernelShape, len(taps), 0)
	if err != nil {
		return err
	}
	if !slices.Equal(want, taps) {
		return fmt.Errorf("kernel_shape is %v, W has %v", want, taps)
	}
	return nil
}
