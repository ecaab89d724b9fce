package shape

import (
	"errors"
	"fmt"
	"math"
)

func init() { register("Range", op{rule: rangeRule}) }

// rangeRule infers Range-11 and later: start, limit and delta are scalars.
func rangeRule(c *call) ([]*value, error) {
	elem, err := c.sameElem(0, 1, 2)
	if err != nil {
		return nil, err
	}
	y := shaped(elem, []num{c.s.unknownDim()})
	for i, v := range c.in {
		// Exporters write [1] for a scalar, and runtimes take it.
		if n, ok := v.count(); ok && (n != 1 || v.rank() > 1) {
			return nil, fmt.Errorf("input %q has shape %v; want a scalar", c.Input(i), v)
		}
	}
	if c.in[0].ints != nil && c.in[1].ints != nil && c.in[2].ints != nil {
		return c.intRange(y, c.in[0].ints[0], c.in[1].ints[0], c.in[2].ints[0])
	}
	var args [3]float64
	for i, v := range c.in {
		list, known, err := v.numbers()
		if err != nil || !known || len(list) != 1 {
			return []*value{y}, err
		}
		args[i] = list[0]
	}
	if args[2] == 0 {
		return nil, errors.New("delta is 0")
	}
	n := math.Max(0, math.Ceil((args[1]-args[0])/args[2]))
	if !(n < 1<<53) {
		return nil, fmt.Errorf("from %v to %v by %v is no finite range", args[0], args[1], args[2])
	}
	y.dims[0] = fixed(int64(n))
	return []*value{y}, nil
}

// intRange sets the size and content of an integer range.
func (c *call) intRange(y *value, start, limit, delta num) ([]*value, error) {
	if delta.is(0) {
		return nil, errors.New("delta is 0")
	}
	if span, ok := sub(limit, start); ok && delta.is(1) && span.isSize() {
		y.dims[0] = span
	}
	if !start.known() || !limit.known() || !delta.known() {
		return []*value{y}, nil
	}
	n := int64(0)
	if (delta.coef > 0) == (limit.coef > start.coef) && limit.coef != start.coef {
		// Unsigned, the distance fits whatever the signs.
		distance, step := uint64(limit.coef)-uint64(start.coef), uint64(delta.coef)
		if delta.coef < 0 {
			distance, step = -distance, -step
		}
		count := (distance-1)/step + 1
		if count > math.MaxInt64 {
			return nil, fmt.Errorf("from %v to %v by %v has more elements than 64 bits count", start, limit, delta)
		}
		n = int64(count)
	}
	y.dims[0] = fixed(n)
	if n <= maxContents {
		y.ints = make([]num, n)
		for i := range y.ints {
			y.ints[i] = fixed(start.coef + int64(i)*delta.coef)
		}
	}
	return []*value{y}, nil
}
