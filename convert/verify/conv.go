package verify

import (
	"fmt"

	"efcn/internal/engine"
	"efcn/onnxio"
)

// https://onnx.ai/onnx/operators/onnx__Conv.html
func init() {
	register(operator{
		name: "Conv", bias: 2, weighted: true, matrix: convMatrix, window: kernelWindow(axesOf), absorbs: absorbsZeros,
		channelOf: convChannelOf,
		defaults:  always(spelling{"group": "1", "auto_pad": `"NOTSET"`}),
		terms: func(_ *onnxio.Node, in []*engine.Tensor[float64], _ *engine.Tensor[float64]) (int, error) {
			return product(in[1].Shape[1:]), nil
		},
	})
}

// kernelWindow reads the windows of an operator whose kernel is a constant, W.
func kernelWindow(
	axesOf func(node *onnxio.Node, in []int, kernel []int64) ([]axis, error),
) func(*net, *onnxio.Node, []int) (*window, error) {
	return func(n *net, node *onnxio.Node, spatial []int) (*window, error) {
		w := n.constants[node.Input(1)]
		if w == nil || len(w.Dims) != len(spatial)+2 {
			return nil, fmt.Errorf("W: want a constant of %d axes", len(spatial)+2)
		}
		axes, err := axesOf(node, spatial, w.Dims[2:])
		return &window{axes: axes}, err
	}
}

func convChannelOf(_ *onnxio.Node, dims []int64) (channels int, of func(i int) int, err error) {
	each := size(dims[1:])
	return int(dims[0]), func(i int) int { return i / each }, nil
}

// convMatrix: the entry of output (o,p) and input (c,q) is K[o, c−g·C/G, t]
// where a tap t leads from p to q and c is in the group g of o; else +0.
// https://onnx.ai/onnx/operators/onnx__Conv.html
func convMatrix(n *net, node *onnxio.Node, in, _ []int) (*matrix, error) {
	kernel, dims, group, err := n.groupedKernel(node, len(in))
	if err != nil {
		return nil, err
	}
	channels, filters := in[1], int(dims[0])
	if group < 1 || dims[1]*group != int64(channels) || int64(filters)%group != 0 {
		return nil, fmt.Errorf("group %d: W %v does not fit %d input channels", group, dims, channels)
	}
	axes, err := axesOf(node, in[2:], dims[2:])
	if err != nil {
		return nil, err
	}
	groupIn, groupOut := channels/int(group), filters/int(group)
	return n.windowMatrix(node, axes, kernel, channels, filters, groupIn, groupOut, func(o, c int) int {
		return o*groupIn + c%groupIn
	})
}

// groupedKernel returns the kernel of a convolution or of its transpose, which has so many
// axes, and the number of groups.
func (n *net) groupedKernel(node *onnxio.Node, axes int) (kernel []float32, dims []int64, group int64, err error) {
	kernel, dims, ok, err := n.floats(node, 1)
	if err != nil {
		return nil, nil, 0, err
	}
	if !ok || len(dims) != axes {
		return nil, nil, 0, fmt.Errorf("W: want %d axes, got %v", axes, dims)
	}
	group, err = node.Int("group", 1)
	return kernel, dims, group, err
}

// windowMatrix returns the matrix of a convolution or of its transpose, of so many
// channels to filters, groupIn to groupOut in each group. filter returns which part of
// the kernel the filter o has for the channel c.
func (n *net) windowMatrix(
	node *onnxio.Node, axes []axis, kernel []float32, channels, filters, groupIn, groupOut int,
	filter func(o, c int) int,
) (*matrix, error) {
	bias, _, hasBias, err := n.floats(node, 2)
	if err != nil {
		return nil, err
	}
	if hasBias && len(bias) != filters {
		return nil, fmt.Errorf("B: want %d values, got %d", filters, len(bias))
	}
	s := newSupport(axes)
	w := &windows{
		support: s, groupIn: groupIn, groupOut: groupOut,
		taps: func(o, c int) []float32 { return kernel[filter(o, c)*s.kernel:][:s.kernel] },
	}
	return &matrix{
		rows: filters * s.out, cols: channels * s.in, hasBias: hasBias,
		bias:    func(r int) (float64, float64) { return float64(bias[r/s.out]), 0 },
		entries: w.entries, windows: w,
	}, nil
}
