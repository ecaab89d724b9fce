package shape

import "efcn/onnxio"

func init() {
	for _, name := range []string{
		"ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax",
		"ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum", "ReduceSumSquare",
	} {
		register(name, op{rule: reduce})
	}
	register("ArgMax", op{rule: argReduce})
	register("ArgMin", op{rule: argReduce})
}

// reduce infers the reductions: axes are an attribute before version 13 of
// ReduceSum and version 18 of the others, and an input after.
func reduce(c *call) ([]*value, error) {
	x := c.in[0]
	list, known, err := c.reduceList()
	if err != nil {
		return nil, err
	}
	keep, err := c.bool("keepdims", true)
	if err != nil {
		return nil, err
	}
	idle, err := c.bool("noop_with_empty_axes", false)
	if err != nil {
		return nil, err
	}
	if !x.ranked {
		return []*value{unshaped(x.elem)}, nil
	}
	if !known {
		if keep {
			return []*value{shaped(x.elem, c.s.unknownDims(x.rank()))}, nil
		}
		return []*value{unshaped(x.elem)}, nil
	}
	if len(list) == 0 && idle && c.opset >= c.axesSince() {
		return []*value{x.like(x.elem)}, nil
	}
	places, err := axes(list, x.rank())
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		for k := range x.dims {
			places = append(places, k)
		}
	}
	y := shaped(x.elem, without(x.dims, places, keep))
	if small(y.dims) && len(places) == x.rank() {
		c.reduceContents(y)
	}
	return []*value{y}, nil
}

// ReduceAxes returns the axes that a reduction of the graph lists, from 0 on; none if
// it lists none, which means all of them or, with noop_with_empty_axes, no axis. It is
// a [NotConstantError] if they are not known before the model runs, and an error if
// the rank of the input is not.
func (i *Info) ReduceAxes(n *onnxio.Node) ([]int, error) {
	c, err := i.call(n)
	if err != nil {
		return nil, err
	}
	list, known, err := c.reduceList()
	if err != nil {
		return nil, err
	}
	if !known {
		return nil, &NotConstantError{"axes", c.Input(1)}
	}
	return axes(list, c.in[0].rank())
}

// reduceList returns the axes as the node lists them, and false if they are not known.
func (c *call) reduceList() (list []int64, known bool, err error) {
	list, _, known, err = c.listArg("axes", 1, c.axesSince())
	return list, known, err
}

// axesSince returns the opset in which the axes became an input.
func (c *call) axesSince() int64 {
	if c.OpType == "ReduceSum" {
		return 13
	}
	return 18
}

// without returns dims less the axes in drop, or with 1 in their place.
func without(dims []num, drop []int, keep bool) []num {
	gone := make([]bool, len(dims))
	for _, k := range drop {
		gone[k] = true
	}
	out := make([]num, 0, len(dims))
	for k, d := range dims {
		switch {
		case !gone[k]:
			out = append(out, d)
		case keep:
			out = append(out, fixed(1))
		}
	}
	return out
}

// reduceContents follows the product, sum and extremes of a whole vector.
func (c *call) reduceContents(y *value) {
	x := c.in[0]
	f, ok := map[string]intFunction{
		"ReduceProd": mul, "ReduceSum": add, "ReduceMax": binaryInts["Max"], "ReduceMin": binaryInts["Min"],
	}[c.OpType]
	if !ok || x.ints == nil {
		return
	}
	var acc num
	switch {
	case len(x.ints) > 0:
		acc = x.ints[0]
	case c.OpType == "ReduceProd":
		acc = fixed(1)
	case c.OpType == "ReduceSum":
	default:
		return
	}
	for i := 1; i < len(x.ints); i++ {
		if acc, ok = f(acc, x.ints[i]); !ok {
			acc = c.s.unknownInt()
			break
		}
	}
	if y.ints = []num{acc}; !y.fitsElem() {
		y.ints = nil
	}
}

// argReduce infers ArgMax and ArgMin: int64, one axis gone or 1.
func argReduce(c *call) ([]*value, error) {
	x := c.in[0]
	a, err := c.Int("axis", 0)
	if err != nil {
		return nil, err
	}
	keep, err := c.bool("keepdims", true)
	if err != nil {
		return nil, err
	}
	if !x.ranked {
		return []*value{unshaped(onnxio.Int64)}, nil
	}
	k, err := axis(a, x.rank())
	if err != nil {
		return nil, err
	}
	return []*value{shaped(onnxio.Int64, without(x.dims, []int{k}, keep))}, nil
}
