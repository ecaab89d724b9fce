package shape

import (
	"errors"
	"fmt"
)

func init() { register("Pad", op{rule: pad}) }

// pad infers Pad-2, with pads as an attribute, and Pad-11/13/18 and later, with
// pads, value and axes as inputs. A negative pad cuts.
func pad(c *call) ([]*value, error) {
	x := c.in[0]
	mode, err := c.String("mode", "constant")
	if err != nil {
		return nil, err
	}
	switch {
	case mode == "constant" || mode == "reflect" || mode == "edge" || mode == "wrap" && c.opset >= 19:
	default:
		return nil, fmt.Errorf("mode %q is not known in opset %d", mode, c.opset)
	}
	if c.opset >= 11 {
		if _, err := c.sameElem(0, 2); err != nil {
			return nil, err
		}
	}
	list, given, known, err := c.listArg("pads", 1, 11)
	if err != nil {
		return nil, err
	}
	if !given {
		return nil, errors.New("pads is missing")
	}
	if !x.ranked {
		return []*value{unshaped(x.elem)}, nil
	}
	places, placed, err := c.padAxes()
	if err != nil {
		return nil, err
	}
	if !known || !placed {
		return []*value{shaped(x.elem, c.s.unknownDims(x.rank()))}, nil
	}
	n := len(places)
	if len(list) != 2*n {
		return nil, fmt.Errorf("pads: want %d values, got %d", 2*n, len(list))
	}
	dims := append([]num(nil), x.dims...)
	for i, k := range places {
		if dims[k], err = c.padDim(dims[k], list[i], list[n+i]); err != nil {
			return nil, fmt.Errorf("axis %d: %w", k, err)
		}
	}
	return []*value{shaped(x.elem, dims)}, nil
}

// padAxes returns the axes that pads is about, and false if they are not known.
func (c *call) padAxes() ([]int, bool, error) {
	x := c.in[0]
	if c.opset >= 18 && c.in[3] != nil {
		list, known := c.in[3].constants()
		if !known {
			return nil, false, c.wantInteger(3)
		}
		places, err := axes(list, x.rank())
		return places, err == nil, err
	}
	places := make([]int, x.rank())
	for i := range places {
		places[i] = i
	}
	return places, true, nil
}

func (c *call) padDim(d num, begin, end int64) (num, error) {
	total, ok := addInt(begin, end)
	if !ok {
		return num{}, fmt.Errorf("pads %d and %d do not add up in 64 bits", begin, end)
	}
	if !d.known() && total != 0 {
		return c.s.unknownDim(), nil
	}
	out, ok := add(d, fixed(total))
	if !ok {
		return num{}, fmt.Errorf("pads %d and %d of size %v do not add up in 64 bits", begin, end, d)
	}
	if out.known() && out.coef < 0 {
		return num{}, fmt.Errorf("pads %d and %d cut more than the size %v", begin, end, d)
	}
	return out, nil
}
