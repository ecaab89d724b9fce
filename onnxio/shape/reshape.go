package shape

import (
	"fmt"
	"slices"
)

func init() {
	register("Reshape", op{rule: reshape, moves: first})
	register("Flatten", op{rule: flatten, moves: first})
}

// reshape infers Reshape-5/13/14 and later: 0 copies the input's dimension
// unless allowzero, and one -1 takes what is left.
func reshape(c *call) ([]*value, error) {
	x, target := c.in[0], c.in[1]
	if err := c.wantInteger(1); err != nil {
		return nil, err
	}
	if err := c.wantRank(1, 1); err != nil {
		return nil, err
	}
	allowZero, err := c.bool("allowzero", false)
	if err != nil {
		return nil, err
	}
	if target.ints == nil {
		if n, ok := target.count(); ok && n <= maxContents {
			return []*value{shaped(x.elem, c.s.unknownDims(int(n)))}, nil
		}
		return []*value{unshaped(x.elem)}, nil
	}
	dims, err := c.reshapeDims(x, target.ints, allowZero)
	if err != nil {
		return nil, err
	}
	return c.reshaped(x, dims)
}

// reshapeDims resolves a target shape against the input x.
func (c *call) reshapeDims(x *value, target []num, allowZero bool) ([]num, error) {
	dims, infer, open, err := c.targetDims(x, target, allowZero)
	if err != nil {
		return nil, err
	}
	if !x.ranked {
		if infer >= 0 {
			dims[infer] = c.s.unknownDim()
		}
		return dims, nil
	}
	total, ok := product(x.dims)
	switch {
	case infer < 0 && len(open) == 1:
		// Whatever it is, -1 or a number, it is what the others leave.
		infer, open = open[0], nil
	case infer < 0 && len(open) == 0:
		return dims, sameTotal(c, x, dims, total, ok)
	}
	if infer < 0 {
		return dims, nil
	}
	dims[infer] = c.s.unknownDim()
	if len(open) > 0 || !ok {
		return dims, nil
	}
	others, fits := product(slices.Concat(dims[:infer], dims[infer+1:]))
	if !fits {
		return dims, nil
	}
	if rest, exact := quotient(total, others); exact {
		dims[infer] = rest
		return dims, nil
	}
	if total.known() && others.known() {
		return nil, fmt.Errorf("input %q of shape %v has %v elements, which shape %v does not divide",
			c.Input(0), x, total, formatDims(target))
	}
	return dims, nil
}

// targetDims returns the target of a Reshape with dimensions copied for 0, the place of
// its -1, itself if there is none, and the places that could be anything.
func (c *call) targetDims(x *value, target []num, allowZero bool) (dims []num, infer int, open []int, err error) {
	dims = slices.Clone(target)
	infer, zero := -1, false // zero: a 0 that is meant
	for i, t := range target {
		switch {
		case t.is(0) && !allowZero && !x.ranked, !t.isSize() && !t.known():
			dims[i] = c.s.unknownDim()
			open = append(open, i)
		case t.is(0) && !allowZero:
			if i >= x.rank() {
				return nil, 0, nil, fmt.Errorf("shape %v copies dimension %d, which input %q of shape %v does not have",
					formatDims(target), i, c.Input(0), x)
			}
			dims[i] = x.dims[i]
		case t.is(0):
			zero = true
		case t.is(-1):
			if infer >= 0 {
				return nil, 0, nil, fmt.Errorf("shape %v has more than one -1", formatDims(target))
			}
			infer = i
		case t.known() && t.coef < 0:
			return nil, 0, nil, fmt.Errorf("shape %v has the negative size %v", formatDims(target), t)
		}
	}
	if infer >= 0 && zero {
		return nil, 0, nil, fmt.Errorf("shape %v has both 0 and -1, which allowzero rules out", formatDims(target))
	}
	return dims, infer, open, nil
}

// sameTotal checks that a reshape keeps the number of elements.
func sameTotal(c *call, x *value, dims []num, total num, fits bool) error {
	want, ok := product(dims)
	if !fits || !ok || !total.known() || !want.known() || total.coef == want.coef {
		return nil
	}
	return fmt.Errorf("input %q of shape %v has %v elements; shape %v has %v", c.Input(0), x, total, formatDims(dims),
		want)
}

// flatten infers Flatten-1/9/11 and later: [d0·…·d(axis-1), d(axis)·…].
func flatten(c *call) ([]*value, error) {
	x := c.in[0]
	a, err := c.Int("axis", 1)
	if err != nil {
		return nil, err
	}
	if !x.ranked {
		return []*value{shaped(x.elem, c.s.unknownDims(2))}, nil
	}
	r := int64(x.rank())
	if a < -r || a > r || a < 0 && c.opset < 11 {
		return nil, fmt.Errorf("axis %d is out of range for input %q of shape %v", a, c.Input(0), x)
	}
	if a < 0 {
		a += r
	}
	dims := make([]num, 2)
	for i, part := range [][]num{x.dims[:a], x.dims[a:]} {
		n, ok := product(part)
		if !ok {
			n = c.s.unknownDim()
		}
		dims[i] = n
	}
	return c.reshaped(x, dims)
}
