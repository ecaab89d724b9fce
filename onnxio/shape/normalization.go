package shape

import "fmt"

func init() {
	register("BatchNormalization", op{min: 5, max: 5, rule: batchNormalization})
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
			return fmt.Errorf("input %q has shape %v; want [%v], one for each channel of %q", c.Input(i), v, channels, c.Input(0))
		}
	}
	return nil
}
