package verify

import (
	"fmt"
	"slices"

	"efcn/onnxio"
)

// axis is one spatial axis of a convolution or pooling, written from the ONNX
// operator pages (Conv, AveragePool, versions 1 to 22). It answers from the
// column's side: given an output and an input position, is there a tap?
type axis struct {
	in, out, kernel, stride, dilation int
	padBegin, padEnd                  int
	transposed                        bool // of a ConvTranspose
}

// tap returns the kernel position through which output p sees input q, or −1:
// q + padBegin − p·stride has to be a multiple of the dilation, neither
// negative nor past the kernel. In a transposed convolution p and q change
// places.
func (a axis) tap(p, q int) int {
	d := q + a.padBegin - p*a.stride
	if a.transposed {
		d = p + a.padBegin - q*a.stride
	}
	if d < 0 || d%a.dilation != 0 || d/a.dilation >= a.kernel {
		return -1
	}
	return d / a.dilation
}

// window is where the windows of a convolution or pooling lie, and whether its average counts
// padding.
type window struct {
	axes       []axis
	includePad bool
}

// axesOf reads the attributes of a Conv or AveragePool node with the kernel and
// the spatial input shape given. Without kernel, kernel_shape is required.
func axesOf(node *onnxio.Node, in []int, kernel []int64) ([]axis, error) {
	auto, err := node.String("auto_pad", "NOTSET")
	if err != nil {
		return nil, err
	}
	ceil, err := node.Int("ceil_mode", 0)
	if err != nil {
		return nil, err
	}
	axes, err := readAxes(node, in, kernel)
	for i := range axes {
		if err := axes[i].resolve(auto, ceil != 0); err != nil {
			return nil, err
		}
	}
	return axes, err
}

// readAxes reads kernel, strides, dilations and pads.
func readAxes(node *onnxio.Node, in []int, kernel []int64) ([]axis, error) {
	rank := len(in)
	if rank == 0 {
		return nil, fmt.Errorf("the input has no spatial axes")
	}
	declared, err := node.Ints("kernel_shape")
	if err != nil {
		return nil, err
	}
	switch {
	case kernel == nil && declared == nil:
		return nil, fmt.Errorf("attribute kernel_shape is missing")
	case kernel == nil:
		kernel = declared
	case declared != nil:
		for i := range declared {
			if i >= len(kernel) || declared[i] != kernel[i] {
				return nil, fmt.Errorf("kernel_shape %v does not fit W, which has %v", declared, kernel)
			}
		}
	}
	strides, err := intsOf(node, "strides", rank, 1)
	if err != nil {
		return nil, err
	}
	dilations, err := intsOf(node, "dilations", rank, 1)
	if err != nil {
		return nil, err
	}
	pads, err := intsOf(node, "pads", 2*rank, 0)
	if err != nil {
		return nil, err
	}
	if len(kernel) != rank {
		return nil, fmt.Errorf("kernel %v: want %d axes", kernel, rank)
	}
	axes := make([]axis, rank)
	for i := range axes {
		a := axis{
			in: in[i], kernel: int(kernel[i]), stride: int(strides[i]), dilation: int(dilations[i]),
			padBegin: int(pads[i]), padEnd: int(pads[rank+i]),
		}
		if a.kernel < 1 || a.stride < 1 || a.dilation < 1 {
			return nil, fmt.Errorf("kernel %d, stride %d, dilation %d: each has to be positive", a.kernel, a.stride,
				a.dilation)
		}
		axes[i] = a
	}
	return axes, nil
}

// intsOf returns an attribute with n integers, all def by default.
func intsOf(node *onnxio.Node, name string, n int, def int64) ([]int64, error) {
	v, err := node.Ints(name)
	if err != nil {
		return nil, err
	}
	if v == nil {
		v = slices.Repeat([]int64{def}, n)
	}
	if len(v) != n {
		return nil, fmt.Errorf("attribute %s: want %d values, got %d", name, n, len(v))
	}
	return v, nil
}

// resolve sets the pads that auto_pad asks for, and the output length.
func (a *axis) resolve(auto string, ceil bool) error {
	span := (a.kernel-1)*a.dilation + 1 // what one window covers
	switch auto {
	case "NOTSET", "":
	case "VALID":
		a.padBegin, a.padEnd = 0, 0
	case "SAME_UPPER", "SAME_LOWER":
		// The output is as long as the input, divided by the stride, rounded up.
		a.out = (a.in + a.stride - 1) / a.stride
		total := max(0, (a.out-1)*a.stride+span-a.in)
		small := total / 2
		if a.padBegin, a.padEnd = small, total-small; auto == "SAME_LOWER" {
			a.padBegin, a.padEnd = a.padEnd, a.padBegin
		}
		return nil
	default:
		return fmt.Errorf("auto_pad %q is unknown", auto)
	}
	room := a.in + a.padBegin + a.padEnd - span
	if room >= 0 {
		a.out = room/a.stride + 1
	}
	if ceil && a.out*a.stride-a.stride < room && a.out*a.stride < a.in+a.padBegin {
		// One more window, even where none fits, unless it would start in the padding
		// at the end.
		a.out++
	}
	if a.out == 0 {
		return fmt.Errorf("a window of %d does not fit an input of %d with pads %d and %d", span, a.in, a.padBegin,
			a.padEnd)
	}
	return nil
}

// inside counts the taps of output p that fall on positions lo ≤ q < hi.
func (a axis) inside(p, lo, hi int) int {
	n := 0
	for t := range a.kernel {
		if q := p*a.stride + t*a.dilation - a.padBegin; q >= lo && q < hi {
			n++
		}
	}
	return n
}

// reach returns the input positions lo ≤ q < hi outside of which output p sees
// nothing, whatever tap says inside.
func (a axis) reach(p int) (lo, hi int) {
	last := (a.kernel - 1) * a.dilation
	if a.transposed { // 0 ≤ p + padBegin − q·stride ≤ last
		lo, hi = p+a.padBegin-last, p+a.padBegin
		if hi < 0 {
			return 0, 0
		}
		return max(0, (max(lo, 0)+a.stride-1)/a.stride), min(a.in, hi/a.stride+1)
	}
	lo = p*a.stride - a.padBegin
	return max(0, lo), min(a.in, lo+last+1)
}

// support lists, for one output position of all axes, which input positions it
// sees and through which taps.
type support struct {
	axes []axis
	in   int   // input positions
	out  int   // output positions
	hits []hit // of the position moved to, inputs ascending

	at     int // the output position that hits is of; −1 for none
	kernel int // taps of a whole kernel
	where  []int
}

// hit is an input position that is seen, and the index in the kernel of the tap
// it is seen through.
type hit struct{ in, tap int }

func newSupport(axes []axis) *support {
	s := &support{axes: axes, in: 1, out: 1, at: -1, kernel: 1, where: make([]int, len(axes))}
	for _, a := range axes {
		s.in *= a.in
		s.out *= a.out
		s.kernel *= a.kernel
	}
	return s
}

// position writes the multi-index of an output position into s.where.
func (s *support) position(p int) []int {
	for i := len(s.axes) - 1; i >= 0; i-- {
		s.where[i] = p % s.axes[i].out
		p /= s.axes[i].out
	}
	return s.where
}

// move lists the hits of output position p: those of all axes together, the last
// axis running fastest.
func (s *support) move(p int) {
	if s.at == p {
		return
	}
	s.at = p
	where := s.position(p)
	s.hits = append(s.hits[:0], hit{})
	var next []hit
	for i, a := range s.axes {
		lo, hi := a.reach(where[i])
		next = next[:0]
		for _, h := range s.hits {
			for q := lo; q < hi; q++ {
				if t := a.tap(where[i], q); t >= 0 {
					next = append(next, hit{h.in*a.in + q, h.tap*a.kernel + t})
				}
			}
		}
		s.hits, next = next, s.hits
	}
}
