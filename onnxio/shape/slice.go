package shape

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"efcn/onnxio"
)

func init() { register("Slice", op{rule: slice, moves: first}) }

// sliceArgs are the arguments of one Slice; a nil list is not known.
type sliceArgs struct {
	starts, ends []num
	axes         []int64
	steps        []num
}

// slice infers Slice-1, with starts, ends and axes as attributes, and
// Slice-10/11/13, where they and steps are inputs.
func slice(c *call) ([]*value, error) {
	x := c.in[0]
	args, err := c.sliceArgs()
	if err != nil {
		return nil, err
	}
	if !x.ranked {
		return []*value{unshaped(x.elem)}, nil
	}
	if args.axes == nil { // which axes are cut is not known
		return []*value{shaped(x.elem, c.s.unknownDims(x.rank()))}, nil
	}
	places, err := axes(args.axes, x.rank())
	if err != nil {
		return nil, fmt.Errorf("input %q of shape %v: %w", c.Input(0), x, err)
	}
	y := shaped(x.elem, append([]num(nil), x.dims...))
	for i, k := range places {
		if args.starts == nil || args.ends == nil || args.steps == nil {
			y.dims[k] = c.s.unknownDim()
			continue
		}
		if args.steps[i].is(0) {
			return nil, errors.New("a step is 0")
		}
		y.dims[k] = c.sliceDim(x.dims[k], args.starts[i], args.ends[i], args.steps[i])
	}
	if x.rank() == 1 && len(places) == 1 && args.starts != nil && args.steps != nil && y.dims[0].known() &&
		x.ints != nil {
		y.ints = sliceContents(x.ints, args.starts[0], args.steps[0], y.dims[0].coef)
	}
	return []*value{y}, nil
}

// SliceAxis is what a Slice node takes of one axis: the elements from Start up to,
// and without, End, in steps of Step. Negative places count from the end of the axis;
// those beyond it are cut off at it.
type SliceAxis struct {
	Axis             int
	Start, End, Step int64
}

// Slice returns what a Slice node of the graph takes, in the order of its axes; others
// it takes whole. An end that is surely the size of its axis is math.MaxInt64 where it
// is no number. It is a [NotConstantError] if that is not known before the model runs,
// and an error if the rank of the input is not.
func (i *Info) Slice(n *onnxio.Node) ([]SliceAxis, error) {
	c, err := i.call(n)
	if err != nil {
		return nil, err
	}
	for k, argument := range []string{1: "starts", 3: "axes", 4: "steps"} {
		if argument != "" {
			if err := c.wantConstant(k, argument); err != nil {
				return nil, err
			}
		}
	}
	args, err := c.sliceArgs()
	if err != nil {
		return nil, err
	}
	places, err := axes(args.axes, c.in[0].rank())
	if err != nil {
		return nil, err
	}
	if args.ends == nil {
		return nil, &NotConstantError{"ends", c.Input(2)}
	}
	list := make([]SliceAxis, len(places))
	for k, axis := range places {
		list[k] = SliceAxis{Axis: axis, Start: args.starts[k].coef, End: args.ends[k].coef, Step: args.steps[k].coef}
		switch end := args.ends[k]; {
		case end.known():
		case end.equal(c.in[0].dims[axis]):
			list[k].End = math.MaxInt64
		default:
			return nil, &NotConstantError{"ends", c.Input(2)}
		}
	}
	return list, nil
}

// sliceArgs reads the arguments of either form, fills in defaults, and checks
// their lengths.
func (c *call) sliceArgs() (sliceArgs, error) {
	read := c.sliceInputs
	if c.opset < 10 {
		read = c.sliceAttributes
	}
	a, n, err := read()
	if err != nil || c.in[3] != nil && a.axes == nil {
		return a, err
	}
	if n < 0 {
		a.axes = nil
		return a, nil
	}
	if a.axes == nil {
		a.axes = make([]int64, n)
		for i := range a.axes {
			a.axes[i] = int64(i)
		}
	}
	if c.in[4] == nil {
		a.steps = slices.Repeat([]num{fixed(1)}, n)
	}
	if len(a.axes) != n || a.starts != nil && len(a.starts) != n || a.ends != nil && len(a.ends) != n ||
		len(a.steps) != n {
		return a, fmt.Errorf("starts, ends, axes and steps have %d, %d, %d and %d values; want as many of each",
			len(a.starts), len(a.ends), len(a.axes), len(a.steps))
	}
	return a, nil
}

// sliceAttributes reads the arguments of a Slice before opset 10, and how many axes it
// cuts.
func (c *call) sliceAttributes() (a sliceArgs, n int, err error) {
	starts, err1 := c.Ints("starts")
	ends, err2 := c.Ints("ends")
	list, err3 := c.Ints("axes")
	if err := errors.Join(err1, err2, err3); err != nil {
		return a, -1, err
	}
	if starts == nil || ends == nil {
		return a, -1, errors.New("attributes starts and ends are both needed")
	}
	return sliceArgs{starts: nums(starts), ends: nums(ends), axes: list}, len(starts), nil
}

// sliceInputs reads the arguments of a Slice from opset 10 on, and how many axes it
// cuts, -1 if that is not known.
func (c *call) sliceInputs() (a sliceArgs, n int, err error) {
	n = -1
	for i := 1; i < 5; i++ {
		v := c.in[i]
		if v == nil {
			continue
		}
		if err := errors.Join(c.wantInteger(i), c.wantRank(i, 1)); err != nil {
			return a, n, err
		}
		if size, ok := v.count(); ok && n < 0 && size <= maxContents {
			n = int(size)
		}
	}
	a.starts, a.ends = c.in[1].ints, c.in[2].ints
	if v := c.in[3]; v != nil {
		list, known := v.constants()
		if !known {
			return a, n, nil
		}
		a.axes = append([]int64{}, list...)
	}
	if v := c.in[4]; v != nil {
		if a.steps = v.ints; a.steps == nil && n >= 0 {
			a.steps = c.s.unknownDims(n)
		}
	}
	return a, n, nil
}

// sliceDim returns the size that start:end:step leaves of d.
func (c *call) sliceDim(d, start, end, step num) num {
	if !step.known() {
		return c.s.unknownDim()
	}
	if d.known() && start.known() && end.known() {
		return fixed(sliceLength(d.coef, start.coef, end.coef, step.coef))
	}
	atEnd := end.equal(d) || end.known() && end.coef >= math.MaxInt32
	whole := step.is(1) && start.is(0) && atEnd
	reversed := step.is(-1) && start.is(-1) && end.known() && end.coef <= -math.MaxInt32
	if whole || reversed {
		return d
	}
	return c.s.unknownDim()
}

// sliceLength returns how many positions start:end:step has in [0, n). As the
// operator's page has it, a start before the axis is its first position whatever
// the step; in NumPy's slices it is none where the step is negative.
func sliceLength(n, start, end, step int64) int64 {
	if n == 0 {
		return 0
	}
	place := func(i, lo, hi int64) int64 {
		if i < 0 {
			i += n
		}
		return min(max(i, lo), hi)
	}
	if step > 0 {
		start, end = place(start, 0, n), place(end, 0, n)
	} else {
		start, end = place(start, 0, n-1), place(end, -1, n-1)
	}
	if step > 0 {
		if end <= start {
			return 0
		}
		return (end-start-1)/step + 1
	}
	if start <= end {
		return 0
	}
	if step == math.MinInt64 {
		return 1
	}
	return (start-end-1)/-step + 1
}

// sliceContents returns length elements of list from start, nil if it is not
// known which.
func sliceContents(list []num, start, step num, length int64) []num {
	if length == 0 {
		return []num{}
	}
	if !start.known() || !step.known() {
		return nil
	}
	n := int64(len(list))
	first := start.coef
	if first < 0 {
		first = max(first+n, 0)
	}
	first = min(first, n-1)
	out := make([]num, length)
	for i := range out {
		out[i] = list[first+int64(i)*step.coef]
	}
	return out
}
