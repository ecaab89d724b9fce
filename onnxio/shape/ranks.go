package shape

import (
	"fmt"

	"efcn/onnxio"
)

func init() {
	register(onnxio.AllGather, op{rule: allGather})
	register(onnxio.Spread, op{rule: unary})
}

// allGather infers the operator of onnxio.RanksDomain: axis 1 is as long as the parts of
// all ranks, one of which the input is.
func allGather(c *call) ([]*value, error) {
	sizes, err := c.Ints("sizes")
	if err != nil {
		return nil, err
	}
	total, own := int64(0), false
	x := c.in[0]
	if !x.ranked {
		return []*value{unshaped(x.elem)}, nil
	}
	if x.rank() < 2 {
		return nil, fmt.Errorf("input %q has shape %v; want rank 2 or more", c.Input(0), x)
	}
	for _, n := range sizes {
		if n < 0 {
			return nil, fmt.Errorf("attribute sizes is %v; want sizes of parts", sizes)
		}
		total += n
		own = own || !x.dims[1].known() || x.dims[1].coef == n
	}
	if !own {
		return nil, fmt.Errorf("input %q of shape %v is no part of the sizes %v", c.Input(0), x, sizes)
	}
	dims := append([]num(nil), x.dims...)
	dims[1] = fixed(total)
	return []*value{shaped(x.elem, dims)}, nil
}
