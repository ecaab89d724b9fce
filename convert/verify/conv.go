package verify

import (
	"fmt"

	"efcn/internal/engine"
	"efcn/onnxio"
)

// https://onnx.ai/onnx/operators/onnx__Conv.html
func init() {
	register(operator{
		name: "Conv", bias: 2, weighted: true, matrix: convMatrix, window: convWindow, absorbs: absorbsZeros,
		channelOf: convChannelOf,
		defaults:  always(spelling{"group": "1", "auto_pad": `"NOTSET"`}),
		terms: func(_ *onnxio.Node, in []*engine.Tensor[float64], _ *engine.Tensor[float64]) (int, error) {
			return product(in[1].Shape[1:]), nil
		},
	})
}

// convWindow reads the windows of a Conv, whose kernel is a constant.
func convWindow(n *net, node *onnxio.Node, spatial []int) (*window, error) {
	w := n.constants[node.Input(1)]
	if w == nil || len(w.Dims) != len(spatial)+2 {
		return nil, fmt.Errorf("W: want a constant of %d axes", len(spatial)+2)
	}
	axes, err := axesOf(node, spatial, w.Dims[2:])
	return &window{axes: axes}, err
}

func convChannelOf(_ *onnxio.Node, dims []int64) (channels int, of func(i int) int, err error) {
	each := size(dims[1:])
	return int(dims[0]), func(i int) int { return i / each }, nil
}

// convMatrix: the entry of output (o,p) and input (c,q) is K[o, c−g·C/G, t]
// where a tap t leads from p to q and c is in the group g of o; else +0.
// https://onnx.ai/onnx/operators/onnx__Conv.html
func convMatrix(n *net, node *onnxio.Node, in, _ []int) (*matrix, error) {
	kernel, dims, ok, err := n.floats(node, 1)
	if err != nil {
		return nil, err
	}
	if !ok || len(dims) != len(in) {
		return nil, fmt.Errorf("W: want %d axes, got %v", len(in), dims)
	}
	group, err := node.Int("group", 1)
	if err != nil {
		return nil, err
	}
	channels, filters := in[1], int(dims[0])
	if group < 1 || dims[1]*group != int64(channels) || int64(filters)%group != 0 {
		return nil, fmt.Errorf("group %d: W %v does not fit %d input channels", group, dims, channels)
	}
	w, err := convWindow(n, node, in[2:])
	if err != nil {
		return nil, err
	}
	groupIn, groupOut := channels/int(group), filters/int(group)
	return n.windowMatrix(node, w.axes, kernel, channels, filters, groupIn, groupOut, func(o, c int) int {
		return o*groupIn + c%groupIn
	})
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
	return &matrix{
		rows: filters * s.out, cols: channels * s.in, hasBias: hasBias,
		bias: func(r int) (float64, float64) { return float64(bias[r/s.out]), 0 },
		entries: func(r int, entry func(int, float64, float64)) {
			o := r / s.out
			s.move(r % s.out)
			for c := o / groupOut * groupIn; c < (o/groupOut+1)*groupIn; c++ {
				taps := kernel[filter(o, c)*s.kernel:][:s.kernel]
				for _, h := range s.hits {
					entry(c*s.in+h.in, float64(taps[h.tap]), 0)
				}
			}
		},
	}, nil
}
