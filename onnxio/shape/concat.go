package shape

import (
	"errors"
	"fmt"
)

func init() { register("Concat", op{rule: concat, moves: every}) }

// concat infers Concat-4/11/13.
func concat(c *call) ([]*value, error) {
	elem, _, err := c.elemOfAll()
	if err != nil {
		return nil, err
	}
	if c.Attr("axis") == nil {
		return nil, errors.New("attribute axis is missing")
	}
	a, err := c.Int("axis", 0)
	if err != nil {
		return nil, err
	}
	var dims []num
	at, first := 0, -1
	complete := true
	for i, v := range c.in {
		if !v.ranked {
			complete = false
			continue
		}
		if first < 0 {
			if at, err = c.axisOf(i, a); err != nil {
				return nil, err
			}
			first, dims = i, append([]num(nil), v.dims...)
			continue
		}
		if err := c.joinDims(dims, first, i, at); err != nil {
			return nil, err
		}
	}
	if first < 0 {
		return []*value{unshaped(elem)}, nil
	}
	if !complete {
		dims[at] = c.s.unknownDim()
	}
	y := shaped(elem, dims)
	if len(dims) == 1 && small(dims) {
		y.ints, err = c.concatContents(y)
	}
	return []*value{y}, err
}

// joinDims merges the shape of input i into dims and adds up axis at.
func (c *call) joinDims(dims []num, first, i, at int) error {
	v := c.in[i]
	differ := fmt.Errorf("input %q of shape %v and input %q of shape %v differ outside axis %d",
		c.Input(first), c.in[first], c.Input(i), v, at)
	if v.rank() != len(dims) {
		return differ
	}
	for k, d := range v.dims {
		switch {
		case k == at:
			sum, ok := add(dims[k], d)
			if !ok {
				if dims[k].known() && d.known() {
					return fmt.Errorf("sizes %v and %v of axis %d do not add up in 64 bits", dims[k], d, at)
				}
				sum = c.s.unknownDim()
			}
			dims[k] = sum
		case dims[k].known() && d.known() && dims[k].coef != d.coef:
			return differ
		case !dims[k].known() && (d.known() || !dims[k].named()):
			dims[k] = d
		}
	}
	return nil
}

// concatContents joins the contents of vectors. An integer vector whose content
// is not followed contributes unknown elements. Floating-point content is set
// on y.
func (c *call) concatContents(y *value) ([]num, error) {
	if y.elem.IsFloat() {
		reals := []real{}
		for _, v := range c.in {
			list, err := v.followedReals()
			if err != nil || list == nil {
				return nil, err
			}
			reals = append(reals, list...)
		}
		y.reals = reals
		return nil, nil
	}
	followed := false
	ints := []num{}
	for _, v := range c.in {
		if v.ints != nil {
			followed = true
			ints = append(ints, v.ints...)
			continue
		}
		n, ok := v.count()
		if !ok {
			return nil, nil
		}
		for range n {
			ints = append(ints, c.s.unknownInt())
		}
	}
	if !followed {
		return nil, nil
	}
	return ints, nil
}
