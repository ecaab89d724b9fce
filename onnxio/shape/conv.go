package shape

import (
	"fmt"

	"efcn/onnxio"
)

func init() { register("Conv", op{rule: conv, real: true, weighted: true}) }

// conv infers Conv-1/11/22: x [N, C, spatial...], weights [O, C/group,
// kernel...], bias [O].
func conv(c *call) ([]*value, error) {
	v, err := c.convolution()
	if err != nil || !v.ranked {
		return []*value{unshaped(v.elem)}, err
	}
	filters, perGroup := v.outer, v.inner
	if v.channels.known() && perGroup.known() {
		if total, ok := mulInt(perGroup.coef, v.group); !ok || total != v.channels.coef {
			return nil, fmt.Errorf("input %q has %v channels; weights %q of shape %v with group %d want %d",
				c.Input(0), v.channels, c.Input(1), c.in[1], v.group, total)
		}
	}
	if filters.known() && filters.coef%v.group != 0 {
		return nil, fmt.Errorf("%v output channels do not divide into %d groups", filters, v.group)
	}
	if err := c.biasFits(filters); err != nil {
		return nil, err
	}
	spec, err := windowSpec(c.Node, nil)
	if err != nil {
		return nil, err
	}
	if spec.Kernel, err = v.kernelShape(spec.Kernel); err != nil {
		return nil, err
	}
	out, err := c.windowDims(spec, v.in)
	if err != nil {
		return nil, err
	}
	return v.result(filters, out), nil
}

// convolution is what Conv and ConvTranspose are given.
type convolution struct {
	elem         onnxio.DataType
	ranked       bool // the shape of x or w is known; if not, that is all there is
	group        int64
	batch        num
	channels     num
	in           []num // spatial dimensions of x
	outer, inner num   // the first two dimensions of w
	kernel       []num
}

// convolution reads the inputs and the groups of a node.
func (c *call) convolution() (v convolution, err error) {
	if v.elem, err = c.sameElem(0, 1, 2); err != nil {
		return v, err
	}
	rank, err := c.convRank()
	if err != nil || rank == 0 {
		return v, err
	}
	v.ranked = true
	v.batch, v.channels, v.in = c.imageDims(c.in[0], rank)
	v.outer, v.inner, v.kernel = c.imageDims(c.in[1], rank)
	v.group, err = c.group()
	return v, err
}

// kernelShape returns an attribute kernel_shape, or the spatial dimensions of the weights
// where it is nil; they have to agree.
func (v *convolution) kernelShape(attribute []int64) ([]int64, error) {
	sizes, ok := numbers(v.kernel)
	switch {
	case !ok:
		return attribute, nil
	case attribute == nil:
		attribute = sizes
	}
	return attribute, sameKernel(attribute, sizes)
}

func (v *convolution) result(filters num, spatial []num) []*value {
	return []*value{shaped(v.elem, append([]num{v.batch, filters}, spatial...))}
}

// convRank returns the rank that input and weights of a convolution share, 0
// if neither is known.
func (c *call) convRank() (int, error) {
	rank := 0
	for i := range 2 {
		v := c.in[i]
		if !v.ranked {
			continue
		}
		if v.rank() < 3 {
			return 0, fmt.Errorf("input %q has shape %v; want rank 3 or more: [N, C, spatial...]", c.Input(i), v)
		}
		if rank != 0 && v.rank() != rank {
			return 0, fmt.Errorf("input %q has shape %v and weights %q have %v; they must have one rank",
				c.Input(0), c.in[0], c.Input(1), c.in[1])
		}
		rank = v.rank()
	}
	return rank, nil
}

// imageDims returns the first, the second and the spatial dimensions of v,
// unknown ones if its shape is not known.
func (c *call) imageDims(v *value, rank int) (first, second num, spatial []num) {
	dims := v.dims
	if !v.ranked {
		dims = c.s.unknownDims(rank)
	}
	return dims[0], dims[1], dims[2:]
}

func (c *call) group() (int64, error) {
	group, err := c.Int("group", 1)
	if err == nil && group < 1 {
		err = fmt.Errorf("attribute group is %d; want 1 or more", group)
	}
	return group, err
}

// biasFits checks a bias [filters], which is input 2.
func (c *call) biasFits(filters num) error {
	b := c.in[2]
	if b == nil || !b.ranked {
		return nil
	}
	if b.rank() != 1 || b.dims[0].known() && filters.known() && b.dims[0].coef != filters.coef {
		return fmt.Errorf("bias %q has shape %v; want [%v]", c.Input(2), b, filters)
	}
	return nil
}

// windowDims returns the output sizes of a convolution or pooling over the
// spatial dimensions in. spec.In is not used.
func (c *call) windowDims(spec WindowSpec, in []num) ([]num, error) {
	if spec.Kernel == nil {
		return c.s.unknownDims(len(in)), nil
	}
	if len(spec.Kernel) != len(in) {
		return nil, fmt.Errorf("kernel_shape %v has %d values; the input has %d spatial axes", spec.Kernel,
			len(spec.Kernel), len(in))
	}
	w, err := spec.defaults()
	if err != nil {
		return nil, err
	}
	w.In = make([]int64, len(in))
	out := make([]num, len(in))
	for i, d := range in {
		if d.known() {
			w.In[i] = d.coef
			if err := w.resolveAxis(spec, i); err != nil {
				return nil, fmt.Errorf("spatial axis %d: %w", i, err)
			}
			out[i] = fixed(w.Out[i])
			continue
		}
		if out[i], err = c.symbolicWindow(spec, &w, i, d); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// symbolicWindow returns the output size over an axis of unknown size d, which
// is d itself where the padding makes up for the kernel.
func (c *call) symbolicWindow(spec WindowSpec, w *Window, i int, d num) (num, error) {
	extent, err := w.extent(i)
	if err != nil {
		return num{}, err
	}
	stride := w.Stride[i]
	if spec.AutoPad == "SAME_UPPER" || spec.AutoPad == "SAME_LOWER" {
		if out, ok := quotient(d, fixed(stride)); ok {
			return out, nil
		}
		return c.s.unknownDim(), nil
	}
	pads, ok := addInt(w.PadBegin[i], w.PadEnd[i])
	if ok && stride == 1 && pads == extent-1 {
		return d, nil
	}
	return c.s.unknownDim(), nil
}
