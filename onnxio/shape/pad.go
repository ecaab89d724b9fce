package shape

import (
	"errors"
	"fmt"

	"efcn/onnxio"
)

func init() { register("Pad", op{rule: pad, moves: padMoves}) }

// padMoves: what a Pad before version 11 pads with is an attribute, and none of the
// elements that are followed.
func padMoves(c *call, i int) bool {
	v, err := c.Float("value", 0)
	return err == nil && v == 0 && (i == 0 || i == 2)
}

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
	if !x.ranked {
		return []*value{unshaped(x.elem)}, nil
	}
	begin, end, known, err := c.padWidths()
	if err != nil {
		return nil, err
	}
	if !known {
		return []*value{shaped(x.elem, c.s.unknownDims(x.rank()))}, nil
	}
	dims := append([]num(nil), x.dims...)
	for k := range dims {
		if dims[k], err = c.padDim(dims[k], begin[k], end[k]); err != nil {
			return nil, fmt.Errorf("axis %d: %w", k, err)
		}
	}
	return []*value{shaped(x.elem, dims)}, nil
}

// Pad is what a Pad node does.
type Pad struct {
	Mode       string  // constant, reflect, edge or wrap
	Begin, End []int64 // by axis of the input; negative ones cut
	Fill       float64 // what mode constant pads with
}

// Pad returns what a Pad node of the graph does. It is a [NotConstantError] if that
// is not known before the model runs, and an error if the rank of the input is not.
func (i *Info) Pad(n *onnxio.Node) (Pad, error) {
	c, err := i.call(n)
	if err != nil {
		return Pad{}, err
	}
	p := Pad{}
	if p.Mode, err = c.String("mode", "constant"); err != nil {
		return p, err
	}
	if p.Fill, err = c.padFill(); err != nil {
		return p, err
	}
	if err := c.wantConstant(1, "pads"); err != nil {
		return p, err
	}
	if err := c.wantConstant(3, "axes"); err != nil {
		return p, err
	}
	p.Begin, p.End, _, err = c.padWidths()
	return p, err
}

// padFill returns what a Pad of mode constant pads with.
func (c *call) padFill() (float64, error) {
	v := c.in[2]
	if v == nil {
		fill, err := c.Float("value", 0)
		return float64(fill), err
	}
	list, known, err := v.numbers()
	if ints, ok := v.constants(); ok && len(ints) == 1 {
		list, known = []float64{float64(ints[0])}, true
	}
	switch {
	case err != nil:
		return 0, err
	case !known:
		return 0, &NotConstantError{"constant_value", c.Input(2)}
	case len(list) != 1:
		return 0, nil
	}
	return list[0], nil
}

// padWidths returns how many elements are padded by axis of the input, whose rank is
// known, and false if that is not.
func (c *call) padWidths() (begin, end []int64, known bool, err error) {
	list, given, known, err := c.listArg("pads", 1, 11)
	if err != nil {
		return nil, nil, false, err
	}
	if !given {
		return nil, nil, false, errors.New("pads is missing")
	}
	places, placed, err := c.padAxes()
	if err != nil || !known || !placed {
		return nil, nil, false, err
	}
	n := len(places)
	if len(list) != 2*n {
		return nil, nil, false, fmt.Errorf("pads: want %d values, got %d", 2*n, len(list))
	}
	begin, end = make([]int64, c.in[0].rank()), make([]int64, c.in[0].rank())
	for i, k := range places {
		begin[k], end[k] = list[i], list[n+i]
	}
	return begin, end, true, nil
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
