package shape

import (
	"errors"
	"fmt"
)

func init() {
	register("Expand", op{rule: expand, moves: first})
	register("Tile", op{rule: tile, moves: first})
	register("Where", op{rule: where, moves: func(_ *call, i int) bool { return i > 0 }})
}

// expand infers Expand-8/13: input and shape broadcast to each other.
func expand(c *call) ([]*value, error) {
	x := c.in[0]
	if err := errors.Join(c.wantInteger(1), c.wantRank(1, 1)); err != nil {
		return nil, err
	}
	target, ok, err := c.shapeArg(1)
	if err != nil {
		return nil, err
	}
	if !x.ranked || !ok {
		return []*value{unshaped(x.elem)}, nil
	}
	dims, err := c.s.broadcast(x.dims, target)
	if err != nil {
		return nil, fmt.Errorf("input %q of shape %v to shape %v: %w", c.Input(0), x, formatDims(target), err)
	}
	y := shaped(x.elem, dims)
	if x.ints != nil && small(dims) {
		n, _ := y.count()
		y.ints = make([]num, n)
		for i := range y.ints {
			y.ints[i] = x.ints[x.at(i, dims)]
		}
	}
	return []*value{y}, nil
}

// tile infers Tile-6/13: every size times its repeat.
func tile(c *call) ([]*value, error) {
	x := c.in[0]
	if err := errors.Join(c.wantInteger(1), c.wantRank(1, 1)); err != nil {
		return nil, err
	}
	repeats, ok, err := c.shapeArg(1)
	if err != nil {
		return nil, err
	}
	if !x.ranked {
		if ok {
			return []*value{shaped(x.elem, c.s.unknownDims(len(repeats)))}, nil
		}
		return []*value{unshaped(x.elem)}, nil
	}
	if !ok {
		return []*value{c.unknownLike(x)}, nil
	}
	if len(repeats) != x.rank() {
		return nil, fmt.Errorf("repeats has %d values; input %q has shape %v", len(repeats), c.Input(0), x)
	}
	y := shaped(x.elem, make([]num, x.rank()))
	for i, d := range x.dims {
		if y.dims[i], ok = mul(d, repeats[i]); !ok {
			y.dims[i] = c.s.unknownDim()
			if d.known() && repeats[i].known() {
				return nil, fmt.Errorf("size %v repeated %v times does not fit in 64 bits", d, repeats[i])
			}
		}
	}
	if x.rank() == 1 && x.ints != nil && small(y.dims) {
		y.ints = make([]num, y.dims[0].coef)
		for i := range y.ints {
			y.ints[i] = x.ints[i%len(x.ints)]
		}
	}
	return []*value{y}, nil
}

// where infers Where-9/16: condition, x and y broadcast to each other.
func where(c *call) ([]*value, error) {
	elem, err := c.sameElem(1, 2)
	if err != nil {
		return nil, err
	}
	dims, ok, err := c.broadcastInputs(0, 1, 2)
	if err != nil {
		return nil, err
	}
	if !ok {
		return []*value{unshaped(elem)}, nil
	}
	v := shaped(elem, dims)
	cond, x, y := c.in[0], c.in[1], c.in[2]
	if !small(dims) || x.ints == nil || y.ints == nil {
		return []*value{v}, nil
	}
	n, _ := v.count()
	v.ints = make([]num, n)
	for i := range v.ints {
		test := c.s.unknownInt()
		if cond.ints != nil {
			test = cond.ints[cond.at(i, dims)]
		}
		yes, no := x.ints[x.at(i, dims)], y.ints[y.at(i, dims)]
		switch {
		case test.is(0):
			v.ints[i] = no
		case test.known(), yes.equal(no):
			v.ints[i] = yes
		default:
			v.ints[i] = c.s.unknownInt()
		}
	}
	return []*value{v}, nil
}
