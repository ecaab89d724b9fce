package shape

import (
	"errors"
	"fmt"
)

func init() { register("Split", op{rule: split, moves: first}) }

// split infers Split-2/11, whose sizes are an attribute, Split-13, whose sizes
// are an input, and Split-18, which takes num_outputs in their place; without
// either, versions before 18 cut into equal parts.
func split(c *call) ([]*value, error) {
	x := c.in[0]
	a, err := c.Int("axis", 0)
	if err != nil {
		return nil, err
	}
	n := len(c.Outputs)
	if n == 0 {
		return nil, errors.New("the node has no outputs")
	}
	sizes, err := c.splitSizes(n)
	if err != nil {
		return nil, err
	}
	out := make([]*value, n)
	if !x.ranked {
		for i := range out {
			out[i] = unshaped(x.elem)
		}
		return out, nil
	}
	at, err := c.axisOf(0, a)
	if err != nil {
		return nil, err
	}
	if sizes == nil {
		if sizes, err = c.equalParts(x.dims[at], n); err != nil {
			return nil, err
		}
	}
	if err := c.partsFit(sizes, x.dims[at]); err != nil {
		return nil, err
	}
	first := int64(0) // of the part, -1 once it is not known
	for i := range out {
		dims := append([]num(nil), x.dims...)
		dims[at] = sizes[i]
		out[i] = shaped(x.elem, dims)
		if x.rank() == 1 && x.ints != nil && sizes[i].known() && first >= 0 {
			out[i].ints = x.ints[first : first+sizes[i].coef]
			first += sizes[i].coef
		} else {
			first = -1
		}
	}
	return out, nil
}

// splitSizes returns the sizes that the node gives, nil if it asks for equal
// parts.
func (c *call) splitSizes(n int) ([]num, error) {
	list, given, known, err := c.listArg("split", 1, 13)
	if err != nil {
		return nil, err
	}
	parts, err := c.Int("num_outputs", 0)
	if err != nil {
		return nil, err
	}
	if c.opset >= 18 {
		switch {
		case given == (c.Attr("num_outputs") != nil):
			return nil, errors.New("want one of the input split and the attribute num_outputs, no more and no less")
		case !given && parts != int64(n):
			return nil, fmt.Errorf("num_outputs is %d; the node has %d outputs", parts, n)
		}
	}
	switch {
	case !given:
		return nil, nil
	case !known:
		return c.s.unknownDims(n), nil
	case len(list) != n:
		return nil, fmt.Errorf("split %v has %d values; the node has %d outputs", list, len(list), n)
	}
	for _, v := range list {
		if v < 0 {
			return nil, fmt.Errorf("split %v has a negative size", list)
		}
	}
	return nums(list), nil
}

// equalParts cuts d into n parts; from version 18 on the last may be smaller.
func (c *call) equalParts(d num, n int) ([]num, error) {
	parts := make([]num, n)
	if q, ok := quotient(d, fixed(int64(n))); ok {
		for i := range parts {
			parts[i] = q
		}
		return parts, nil
	}
	if !d.known() {
		return c.s.unknownDims(n), nil
	}
	size := (d.coef + int64(n) - 1) / int64(n)
	last := d.coef - size*int64(n-1)
	if c.opset < 18 || last < 0 {
		return nil, fmt.Errorf("size %v does not divide into %d parts", d, n)
	}
	for i := range parts {
		parts[i] = fixed(size)
	}
	parts[n-1] = fixed(last)
	return parts, nil
}

// partsFit checks that the parts add up to d.
func (c *call) partsFit(parts []num, d num) error {
	sum := fixed(0)
	for _, p := range parts {
		var ok bool
		if sum, ok = add(sum, p); !ok {
			return nil
		}
	}
	if sum.known() && d.known() && sum.coef != d.coef {
		return fmt.Errorf("parts %v add up to %v; the axis of input %q has %v", formatDims(parts), sum, c.Input(0), d)
	}
	return nil
}
