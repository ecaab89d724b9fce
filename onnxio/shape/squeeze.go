package shape

import "fmt"

func init() {
	register("Squeeze", op{rule: squeeze, moves: first})
	register("Unsqueeze", op{rule: unsqueeze, moves: first})
}

// squeeze infers Squeeze-1/11, with axes as an attribute, and Squeeze-13 and
// later, with axes as an input. Without axes every 1 goes.
func squeeze(c *call) ([]*value, error) {
	x := c.in[0]
	list, given, known, err := c.listArg("axes", 1, 13)
	if err != nil {
		return nil, err
	}
	if !x.ranked || !known {
		return []*value{unshaped(x.elem)}, nil
	}
	drop := make([]bool, x.rank())
	if given {
		places, err := axes(list, x.rank())
		if err != nil {
			return nil, err
		}
		for _, k := range places {
			if d := x.dims[k]; d.known() && d.coef != 1 {
				return nil, fmt.Errorf("axis %d of input %q of shape %v is not 1", k, c.Input(0), x)
			}
			drop[k] = true
		}
	} else {
		for k, d := range x.dims {
			if !d.known() { // it might be 1
				return []*value{unshaped(x.elem)}, nil
			}
			drop[k] = d.is(1)
		}
	}
	dims := make([]num, 0, x.rank())
	for k, d := range x.dims {
		if !drop[k] {
			dims = append(dims, d)
		}
	}
	return c.reshaped(x, dims)
}

// unsqueeze infers Unsqueeze-1/11, with axes as an attribute, and Unsqueeze-13
// and later, with axes as an input. Axes count in the output.
func unsqueeze(c *call) ([]*value, error) {
	x := c.in[0]
	list, given, known, err := c.listArg("axes", 1, 13)
	if err != nil {
		return nil, err
	}
	if !given {
		return nil, fmt.Errorf("axes is missing")
	}
	if !x.ranked || !known {
		return []*value{unshaped(x.elem)}, nil
	}
	rank := x.rank() + len(list)
	places, err := axes(list, rank)
	if err != nil {
		return nil, err
	}
	dims := make([]num, rank)
	added := make([]bool, rank)
	for _, k := range places {
		dims[k], added[k] = fixed(1), true
	}
	next := 0
	for k := range dims {
		if !added[k] {
			dims[k] = x.dims[next]
			next++
		}
	}
	return c.reshaped(x, dims)
}

// reshaped returns x with other dimensions of the same product and the same
// content.
func (c *call) reshaped(x *value, dims []num) ([]*value, error) {
	y := shaped(x.elem, dims)
	if !small(dims) {
		return []*value{y}, nil
	}
	y.ints = x.ints
	var err error
	y.reals, err = x.followedReals()
	return []*value{y}, err
}
