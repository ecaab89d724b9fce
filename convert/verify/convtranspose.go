package verify

import (
	"fmt"

	"efcn/internal/engine"
	"efcn/onnxio"
)

// https://onnx.ai/onnx/operators/onnx__ConvTranspose.html
func init() {
	register(operator{
		name: "ConvTranspose", weighted: true, matrix: convTransposeMatrix, window: kernelWindow(transposedAxesOf),
		channelOf: convTransposeChannelOf,
		defaults:  always(spelling{"group": "1", "auto_pad": `"NOTSET"`}),
		terms: func(_ *onnxio.Node, in []*engine.Tensor[float64], _ *engine.Tensor[float64]) (int, error) {
			return in[1].Shape[0] * product(in[1].Shape[2:]), nil
		},
	})
}

// convTransposeChannelOf: W is [C, M/group, kernel], and input channel c is in group
// c/(C/group).
func convTransposeChannelOf(node *onnxio.Node, dims []int64) (channels int, of func(i int) int, err error) {
	group, err := node.Int("group", 1)
	if err != nil {
		return 0, nil, err
	}
	groupOut, each := int(dims[1]), size(dims[2:])
	return int(dims[1] * group), func(i int) int {
		c := i / each / groupOut
		return c/(int(dims[0])/int(group))*groupOut + i/each%groupOut
	}, nil
}

// convTransposeMatrix: the entry of output (o,p) and input (c,q) is
// W[c, o−g·M/G, t] where a tap t leads from q to p and c is in the group g of o.
// https://onnx.ai/onnx/operators/onnx__ConvTranspose.html
func convTransposeMatrix(n *net, node *onnxio.Node, in, _ []int) (*matrix, error) {
	kernel, dims, group, err := n.groupedKernel(node, len(in))
	if err != nil {
		return nil, err
	}
	channels, groupOut := in[1], int(dims[1])
	if group < 1 || dims[0] != int64(channels) || int64(channels)%group != 0 {
		return nil, fmt.Errorf("group %d: W %v does not fit %d input channels", group, dims, channels)
	}
	axes, err := transposedAxesOf(node, in[2:], dims[2:])
	if err != nil {
		return nil, err
	}
	filters := groupOut * int(group)
	groupIn := channels / int(group)
	return n.windowMatrix(node, axes, kernel, channels, filters, groupIn, groupOut, func(o, c int) int {
		return c*groupOut + o%groupOut
	})
}

// transposedAxesOf reads the attributes of a ConvTranspose, as axesOf does. Its output is as long as its
// pads leave it or, with output_shape or auto_pad SAME, the pads are what that
// length leaves over, the odd one in front except with SAME_UPPER.
func transposedAxesOf(node *onnxio.Node, in []int, kernel []int64) ([]axis, error) {
	auto, err := node.String("auto_pad", "NOTSET")
	if err != nil {
		return nil, err
	}
	more, err := node.Ints("output_padding")
	if err != nil {
		return nil, err
	}
	lengths, err := node.Ints("output_shape")
	if err != nil {
		return nil, err
	}
	axes, err := readAxes(node, in, kernel)
	if err != nil {
		return nil, err
	}
	if more != nil && len(more) != len(axes) || lengths != nil && len(lengths) < len(axes) {
		return nil, fmt.Errorf("output_padding %v, output_shape %v: want %d axes", more, lengths, len(axes))
	}
	for i := range axes {
		a := &axes[i]
		a.transposed = true
		full := (a.in-1)*a.stride + (a.kernel-1)*a.dilation + 1
		if more != nil {
			full += int(more[i])
		}
		switch {
		case lengths != nil: // some exporters give all axes
			a.out = int(lengths[len(lengths)-len(axes)+i])
		case auto == "SAME_UPPER" || auto == "SAME_LOWER":
			a.out = a.in * a.stride
		case auto == "VALID":
			a.padBegin, a.padEnd, a.out = 0, 0, full
			continue
		case auto == "NOTSET" || auto == "":
			a.out = full - a.padBegin - a.padEnd
			continue
		default:
			return nil, fmt.Errorf("auto_pad %q is unknown", auto)
		}
		total := full - a.out
		if a.padBegin = total - total/2; auto == "SAME_UPPER" {
			a.padBegin = total / 2
		}
		a.padEnd = total - a.padBegin
	}
	return axes, nil
}
