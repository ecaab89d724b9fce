package shape

import (
	"fmt"

	"efcn/onnxio"
)

func init() {
	register("BatchNormalization", op{rule: batchNormalization, real: true})
	register("InstanceNormalization", op{rule: instanceNormalization, real: true})
	register("GroupNormalization", op{rule: groupNormalization, real: true})
	register("LayerNormalization", op{rule: layerNormalization, real: true})
	register("RMSNormalization", op{rule: layerNormalization, real: true})
}

// batchNormalization infers BatchNormalization-7/9/14/15: x [N, C, ...], the
// other four [C]. In training mode running mean and variance follow.
func batchNormalization(c *call) ([]*value, error) {
	x := c.in[0]
	if err := c.perChannel(1, 2, 3, 4); err != nil {
		return nil, err
	}
	y := x.like(x.elem)
	stat := unshaped(c.in[3].elem)
	if x.ranked && x.rank() > 1 {
		stat = shaped(c.in[3].elem, []num{x.dims[1]})
	}
	if c.opset < 14 { // two saved statistics follow, which no version defines
		return []*value{y, stat, stat, stat, stat}, nil
	}
	return []*value{y, stat, stat}, nil
}

// perChannel checks that the listed inputs have shape [C], C being the second
// dimension of input 0, or its only one.
func (c *call) perChannel(inputs ...int) error {
	x := c.in[0]
	channels := c.s.unknownDim()
	if x.ranked {
		switch {
		case x.rank() > 1:
			channels = x.dims[1]
		case x.rank() == 0:
			return fmt.Errorf("input %q is a scalar; want [N, C, ...]", c.Input(0))
		default:
			channels = fixed(1)
		}
	}
	for _, i := range inputs {
		v := c.in[i]
		if v == nil || !v.ranked {
			continue
		}
		if v.rank() != 1 || v.dims[0].known() && channels.known() && v.dims[0].coef != channels.coef {
			return fmt.Errorf("input %q has shape %v; want [%v], one for each channel of %q", c.Input(i), v, channels,
				c.Input(0))
		}
	}
	return nil
}

// instanceNormalization infers InstanceNormalization-6/22: x [N, C, ...], scale
// and bias [C].
func instanceNormalization(c *call) ([]*value, error) {
	if err := c.perChannel(1, 2); err != nil {
		return nil, err
	}
	return []*value{c.in[0].like(c.in[0].elem)}, nil
}

// groupNormalization infers GroupNormalization-21, with scale and bias [C], and
// GroupNormalization-18, where they are [num_groups].
func groupNormalization(c *call) ([]*value, error) {
	groups, err := c.Int("num_groups", 0)
	if err != nil {
		return nil, err
	}
	if groups < 1 {
		return nil, fmt.Errorf("attribute num_groups is %d; want 1 or more", groups)
	}
	x := c.in[0]
	if x.ranked && x.rank() > 1 && x.dims[1].known() && x.dims[1].coef%groups != 0 {
		return nil, fmt.Errorf("%v channels of input %q do not divide into %d groups", x.dims[1], c.Input(0), groups)
	}
	if c.opset >= 21 {
		if err := c.perChannel(1, 2); err != nil {
			return nil, err
		}
	}
	return []*value{x.like(x.elem)}, nil
}

// layerNormalization infers LayerNormalization-17 and RMSNormalization-23:
// scale and bias broadcast to x; the statistics have 1 in place of the axes
// that are normalised, and the type that stash_type says.
func layerNormalization(c *call) ([]*value, error) {
	x := c.in[0]
	a, err := c.Int("axis", -1)
	if err != nil {
		return nil, err
	}
	stash, err := c.Int("stash_type", int64(onnxio.Float32))
	if err != nil {
		return nil, err
	}
	elem := onnxio.DataType(stash)
	if !elem.IsFloat() {
		return nil, fmt.Errorf("attribute stash_type is %s; want a floating-point type", elem)
	}
	if !x.ranked {
		return []*value{unshaped(x.elem), unshaped(elem), unshaped(elem)}, nil
	}
	at, err := c.axisOf(0, a)
	if err != nil {
		return nil, err
	}
	for i := 1; i < len(c.in); i++ {
		if v := c.in[i]; v != nil && v.ranked && !broadcastsTo(v.dims, x.dims) {
			return nil, fmt.Errorf("input %q of shape %v does not broadcast to %q of shape %v", c.Input(i), v,
				c.Input(0), x)
		}
	}
	dims := append([]num(nil), x.dims...)
	for k := at; k < len(dims); k++ {
		dims[k] = fixed(1)
	}
	stat := shaped(elem, dims)
	return []*value{x.like(x.elem), stat, stat}, nil
}
