package convert_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"efcn/onnxio"
)

// drawPad follows https://onnx.ai/onnx/operators/onnx__Pad.html: what lies outside
// is a constant, the mirror image without the edge itself, the edge, or the
// axis once more; negative pads cut.
func drawPad(rng *rand.Rand) *affineCase {
	c := &affineCase{opset: 19, in: randomDims(rng, 4)}
	mode := []string{"constant", "reflect", "edge", "wrap"}[rng.IntN(4)]
	begins, ends, dims := make([]int, len(c.in)), make([]int, len(c.in)), make([]int, len(c.in))
	for i, d := range c.in {
		low, high := 0, 3
		switch mode {
		case "constant":
			low = -1
		case "reflect":
			high = min(3, d-1)
		}
		begins[i], ends[i] = between(rng, low, high), between(rng, low, high)
		if dims[i] = d + begins[i] + ends[i]; dims[i] < 1 {
			return nil
		}
	}
	value := float64(between(rng, -5, 5))
	y := c.newExpected("y", dims)
	every(dims, func(p []int) {
		q, outside := make([]int, len(p)), false
		for i, d := range c.in {
			at := p[i] - begins[i]
			switch {
			case at >= 0 && at < d:
			case mode == "constant":
				outside = true
			case mode == "reflect" && at < 0:
				at = -at
			case mode == "reflect":
				at = d - 1 - (at - (d - 1))
			case mode == "edge" && at < 0:
				at = 0
			case mode == "edge":
				at = d - 1
			default:
				for at < 0 {
					at += d
				}
				for at >= d {
					at -= d
				}
			}
			q[i] = at
		}
		if outside {
			y.b[place(dims, p)] = value
		} else {
			c.add(y, p, q, 1)
		}
	})
	attr := onnxio.StringAttr("mode", mode)
	switch all := func(v []int) []int { return append([]int{0}, v...) }; {
	case mode != "wrap" && rng.IntN(4) == 0: // attributes, and no axes
		c.opset = 10
		c.nodes = []*onnxio.Node{node("Pad", "x", "y", attr, attrInts("pads", slices.Concat(all(begins), all(ends))...), onnxio.FloatAttr("value", float32(value)))}
	case rng.IntN(2) == 0:
		c.inits = append(c.inits, onnxio.NewTensor("v", nil, []float32{float32(value)}))
		c.nodes = []*onnxio.Node{node("Pad", "x "+c.list("p", slices.Concat(all(begins), all(ends))...)+" v", "y", attr)}
	default:
		var axes []int
		for i := range c.in {
			if axes = append(axes, i+1); rng.IntN(2) == 0 {
				axes[i] = i - len(c.in)
			}
		}
		c.inits = append(c.inits, onnxio.NewTensor("v", nil, []float32{float32(value)}))
		c.nodes = []*onnxio.Node{node("Pad", "x "+c.list("p", slices.Concat(begins, ends)...)+" v "+c.list("a", axes...), "y", attr)}
	}
	return c
}

// resampled is one axis of a Resize: its lengths and the factor between them.
type resampled struct {
	in, out int
	scale   float64
}

// coordinate is where output p of the axis lies in the input. Scale 1 changes
// nothing, which for tf_half_pixel_for_nn the page does not say; ONNX Runtime
// has it so.
// https://onnx.ai/onnx/operators/onnx__Resize.html
func (a resampled) coordinate(mode string, p int) float64 {
	x := float64(p)
	if a.scale == 1 {
		return x
	}
	switch mode {
	case "half_pixel":
		return (x+0.5)/a.scale - 0.5
	case "half_pixel_symmetric": // the factors drawn here give whole lengths
		return (x+0.5)/a.scale - 0.5
	case "pytorch_half_pixel":
		if a.out == 1 {
			return 0
		}
		return (x+0.5)/a.scale - 0.5
	case "align_corners":
		if a.out == 1 {
			return 0
		}
		return x * float64(a.in-1) / float64(a.out-1)
	case "tf_half_pixel_for_nn":
		return (x + 0.5) / a.scale
	default: // asymmetric
		return x / a.scale
	}
}

// nearest is the input that output p takes, and false if rounding in another
// precision could give another one.
func (a resampled) nearest(mode, round string, p int) (int, bool) {
	x := a.coordinate(mode, p)
	var at, edge float64
	switch round {
	case "floor":
		at, edge = math.Floor(x), math.Round(x)
	case "ceil":
		at, edge = math.Ceil(x), math.Round(x)
	case "round_prefer_floor":
		at, edge = math.Ceil(x-0.5), math.Floor(x)+0.5
	default:
		at, edge = math.Floor(x+0.5), math.Floor(x)+0.5
	}
	exact := a.scale == math.Trunc(a.scale) && int(a.scale)&(int(a.scale)-1) == 0 || a.scale == 0.5 || a.scale == 0.25
	return min(max(int(at), 0), a.in-1), exact || math.Abs(x-edge) > 1e-3
}

// drawAxes draws the axes of a Resize: lengths, and factors that give whole ones.
func drawAxes(rng *rand.Rand, in []int, smaller bool) []resampled {
	factors := []float64{1, 1.5, 2, 2.5, 3, 4}
	if smaller {
		factors = append(factors, 0.25, 0.5, 0.75)
	}
	axes := make([]resampled, len(in))
	for i, d := range in {
		f := factors[rng.IntN(len(factors))]
		for out := f * float64(d); out != math.Trunc(out); out = f * float64(d) {
			f = factors[rng.IntN(len(factors))]
		}
		axes[i] = resampled{d, int(f * float64(d)), f}
	}
	return axes
}

// resize makes c a Resize node of those spatial axes: by factors or, since opset
// 18, which has axes besides the batch, by lengths.
func (c *affineCase) resize(rng *rand.Rand, axes []resampled, attrs ...*onnxio.Attribute) {
	scales, sizes, spatial := []float32{1, 1}, []int{}, []int{}
	for i, a := range axes {
		scales, sizes, spatial = append(scales, float32(a.scale)), append(sizes, a.out), append(spatial, i+2)
	}
	inputs := "x  "
	if c.opset == 11 { // where the second input had to be there
		c.inits = append(c.inits, onnxio.NewTensor("roi", []int64{0}, []float32{}))
		inputs = "x roi "
	}
	switch {
	case c.opset == 11 || rng.IntN(3) == 0:
		inputs += c.numbers("s", scales...)
	case rng.IntN(2) == 0:
		c.opset, inputs, attrs = max(c.opset, 18), inputs+c.numbers("s", scales[2:]...), append(attrs, attrInts("axes", spatial...))
	default:
		c.opset, inputs, attrs = max(c.opset, 18), inputs+" "+c.list("z", sizes...), append(attrs, attrInts("axes", spatial...))
	}
	c.nodes = []*onnxio.Node{node("Resize", inputs, "y", attrs...)}
}

func outputs(channels int, axes []resampled) []int {
	dims := []int{channels}
	for _, a := range axes {
		dims = append(dims, a.out)
	}
	return dims
}

func drawResizeNearest(rng *rand.Rand) *affineCase {
	c := &affineCase{opset: 13, in: randomDims(rng, 5)}
	axes := drawAxes(rng, c.in[1:], true)
	mode := []string{"half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric", "tf_half_pixel_for_nn"}[rng.IntN(5)]
	if mode != "tf_half_pixel_for_nn" && rng.IntN(6) == 0 {
		mode, c.opset = "half_pixel_symmetric", 19
	}
	if mode == "tf_half_pixel_for_nn" {
		c.opset = 11 // the last version that has it
	}
	round := []string{"round_prefer_floor", "round_prefer_ceil", "floor", "ceil"}[rng.IntN(4)]
	attrs := []*onnxio.Attribute{onnxio.StringAttr("mode", "nearest"), onnxio.StringAttr("coordinate_transformation_mode", mode), onnxio.StringAttr("nearest_mode", round)}
	if !c.sampled(axes, func(a resampled, p int) (int, bool) { return a.nearest(mode, round, p) }) {
		return nil
	}
	c.resize(rng, axes, attrs...)
	return c
}

// sampled fills the output y with elements of x: along each axis those that at
// says. It returns false where at does not know.
func (c *affineCase) sampled(axes []resampled, at func(a resampled, p int) (int, bool)) bool {
	y := c.newExpected("y", outputs(c.in[0], axes))
	sure := true
	every(y.dims, func(p []int) {
		q := []int{p[0]}
		for i, a := range axes {
			k, ok := at(a, p[i+1])
			sure = sure && ok
			q = append(q, k)
		}
		c.add(y, p, q, 1)
	})
	return sure
}

// interpolated fills the output y with linear interpolations of x: along each axis
// of the two inputs around the coordinate, which at the edge are one.
func (c *affineCase) interpolated(axes []resampled, mode string) {
	y := c.newExpected("y", outputs(c.in[0], axes))
	corners := slices.Repeat([]int{2}, len(axes))
	every(y.dims, func(p []int) {
		every(corners, func(corner []int) {
			q, weight := []int{p[0]}, 1.0
			for i, a := range axes {
				x := a.coordinate(mode, p[i+1])
				below := math.Floor(x)
				if corner[i] == 0 {
					weight *= 1 - (x - below)
				} else {
					weight *= x - below
				}
				q = append(q, min(max(int(below)+corner[i], 0), a.in-1))
			}
			c.add(y, p, q, weight)
		})
	})
}

func drawResizeLinear(rng *rand.Rand) *affineCase {
	c := &affineCase{opset: 13, in: randomDims(rng, 4)}
	axes := drawAxes(rng, c.in[1:], true)
	mode := []string{"half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"}[rng.IntN(4)]
	c.interpolated(axes, mode)
	c.resize(rng, axes, onnxio.StringAttr("mode", "linear"), onnxio.StringAttr("coordinate_transformation_mode", mode))
	return c
}

// drawUpsample follows https://onnx.ai/onnx/operators/onnx__Upsample.html: position
// p/scale of the input, for nearest the one below it.
func drawUpsample(rng *rand.Rand, mode string) *affineCase {
	c := &affineCase{opset: 9, in: randomDims(rng, 4)}
	axes := drawAxes(rng, c.in[1:], false)
	if mode == "linear" {
		c.interpolated(axes, "asymmetric")
	} else if !c.sampled(axes, func(a resampled, p int) (int, bool) { return a.nearest("asymmetric", "floor", p) }) {
		return nil
	}
	scales := []float32{1, 1}
	for _, a := range axes {
		scales = append(scales, float32(a.scale))
	}
	if rng.IntN(2) == 0 {
		c.opset = 8
		n := node("Upsample", "x", "y", onnxio.StringAttr("mode", mode))
		n.Attributes = append(n.Attributes, &onnxio.Attribute{Name: "scales", Type: onnxio.AttrFloats, Floats: scales})
		c.nodes = []*onnxio.Node{n}
		return c
	}
	c.nodes = []*onnxio.Node{node("Upsample", "x "+c.numbers("s", scales...), "y", onnxio.StringAttr("mode", mode))}
	return c
}

func drawUpsampleNearest(rng *rand.Rand) *affineCase { return drawUpsample(rng, "nearest") }
func drawUpsampleLinear(rng *rand.Rand) *affineCase  { return drawUpsample(rng, "linear") }

// drawTranspose: axis i of the output is axis perm[i] of the input.
// https://onnx.ai/onnx/operators/onnx__Transpose.html
func drawTranspose(rng *rand.Rand) *affineCase {
	c := &affineCase{opset: 13, in: randomDims(rng, 5)}
	perm := rng.Perm(len(c.in))
	dims, attr := make([]int, len(perm)), []int{0}
	for i, a := range perm {
		dims[i], attr = c.in[a], append(attr, a+1)
	}
	y := c.newExpected("y", dims)
	every(c.in, func(q []int) {
		p := make([]int, len(q))
		for i, a := range perm {
			p[i] = q[a]
		}
		c.add(y, p, q, 1)
	})
	c.nodes = []*onnxio.Node{node("Transpose", "x", "y", attrInts("perm", attr...))}
	return c
}

// drawSlice: from start towards end by step, both counted from behind where they
// are negative and clamped to the axis; end itself is left out.
// https://onnx.ai/onnx/operators/onnx__Slice.html
func drawSlice(rng *rand.Rand) *affineCase {
	c := &affineCase{opset: 13, in: randomDims(rng, 5)}
	taken := make([][]int, len(c.in)) // input indices along every axis
	for i, d := range c.in {
		for k := range d {
			taken[i] = append(taken[i], k)
		}
	}
	attributes := rng.IntN(4) == 0 // and then no steps
	var starts, ends, axes, steps []int
	for _, i := range rng.Perm(len(c.in))[:between(rng, 1, len(c.in))] {
		d := c.in[i]
		start, end, step := between(rng, -d-1, d+1), between(rng, -d-2, d+2), []int{1, 2, 3, -1, -2}[rng.IntN(5)]
		if attributes {
			step = 1
		}
		from, to := start, end
		if from < 0 {
			from += d
		}
		if to < 0 {
			to += d
		}
		taken[i] = nil
		if step > 0 {
			for k := max(from, 0); k < min(to, d); k += step {
				taken[i] = append(taken[i], k)
			}
		} else {
			from, to = min(max(from, 0), d-1), min(max(to, -1), d-1)
			for k := from; k > to; k += step {
				taken[i] = append(taken[i], k)
			}
		}
		if taken[i] == nil {
			return nil
		}
		axis := i + 1
		if rng.IntN(2) == 0 && !attributes {
			axis = i - len(c.in)
		}
		starts, ends, axes, steps = append(starts, start), append(ends, end), append(axes, axis), append(steps, step)
	}
	dims := make([]int, len(c.in))
	for i := range dims {
		dims[i] = len(taken[i])
	}
	y := c.newExpected("y", dims)
	every(dims, func(p []int) {
		q := make([]int, len(p))
		for i := range p {
			q[i] = taken[i][p[i]]
		}
		c.add(y, p, q, 1)
	})
	if attributes {
		c.opset = 9
		c.nodes = []*onnxio.Node{node("Slice", "x", "y", attrInts("starts", starts...), attrInts("ends", ends...), attrInts("axes", axes...))}
		return c
	}
	c.nodes = []*onnxio.Node{node("Slice", "x "+c.list("s", starts...)+" "+c.list("e", ends...)+" "+c.list("a", axes...)+" "+c.list("t", steps...), "y")}
	return c
}

// drawGather: output (…, i, …) is input (…, indices[i], …), i of as many axes as the
// indices have. https://onnx.ai/onnx/operators/onnx__Gather.html
func drawGather(rng *rand.Rand) *affineCase {
	c := &affineCase{opset: 13, in: randomDims(rng, 5)}
	axis := rng.IntN(len(c.in))
	d, places := c.in[axis], draws(rng, between(rng, 0, 2), 1, 3)
	var indices []int64
	for range size(places) {
		indices = append(indices, int64(between(rng, -d, d-1)))
	}
	dims := slices.Concat(c.in[:axis], places, c.in[axis+1:])
	y := c.newExpected("y", dims)
	every(dims, func(p []int) {
		i := p[axis : axis+len(places)]
		q := slices.Concat(p[:axis], []int{(int(indices[place(places, i)]) + d) % d}, p[axis+len(places):])
		c.add(y, p, q, 1)
	})
	c.inits = append(c.inits, onnxio.NewTensor("i", wide(places), indices))
	attr := axis + 1
	if rng.IntN(2) == 0 {
		attr = axis - len(c.in)
	}
	c.nodes = []*onnxio.Node{node("Gather", "x i", "y", attrInt("axis", attr))}
	return c
}

// drawSplit: the axis in parts of those lengths, in their order.
// https://onnx.ai/onnx/operators/onnx__Split.html
func drawSplit(rng *rand.Rand) *affineCase {
	c := &affineCase{opset: 13, in: randomDims(rng, 5)}
	axis := rng.IntN(len(c.in))
	parts := draws(rng, between(rng, 1, 3), 1, 3)
	equal := rng.IntN(3) == 0
	if equal {
		parts = slices.Repeat(parts[:1], len(parts))
	}
	c.in[axis] = 0
	for _, n := range parts {
		c.in[axis] += n
	}
	names, first := "", 0
	for k, n := range parts {
		dims := slices.Clone(c.in)
		dims[axis] = n
		name := fmt.Sprintf("y%d", k)
		y := c.newExpected(name, dims)
		every(dims, func(p []int) {
			q := slices.Clone(p)
			q[axis] += first
			c.add(y, p, q, 1)
		})
		names, first = names+" "+name, first+n
	}
	attr := attrInt("axis", axis+1)
	if rng.IntN(2) == 0 {
		attr = attrInt("axis", axis-len(c.in))
	}
	switch {
	case equal:
		c.nodes = []*onnxio.Node{node("Split", "x", names, attr)}
	case rng.IntN(3) == 0:
		c.opset = 11
		c.nodes = []*onnxio.Node{node("Split", "x", names, attr, attrInts("split", parts...))}
	default:
		c.nodes = []*onnxio.Node{node("Split", "x "+c.list("parts", parts...), names, attr)}
	}
	return c
}

// drawConcat joins slices of x, each times another number, along an axis.
// https://onnx.ai/onnx/operators/onnx__Concat.html
func drawConcat(rng *rand.Rand) *affineCase {
	c := &affineCase{opset: 13, in: randomDims(rng, 4)}
	axis, parts := rng.IntN(len(c.in)), between(rng, 1, 3)
	c.list("a", axis+1)
	dims, joined := slices.Clone(c.in), ""
	dims[axis] = 0
	var starts, lengths []int
	for k := range parts {
		start := rng.IntN(c.in[axis])
		end := between(rng, start+1, c.in[axis])
		starts, lengths = append(starts, start), append(lengths, end-start)
		dims[axis] += end - start
		s, e, f, v := fmt.Sprintf("s%d", k), fmt.Sprintf("e%d", k), fmt.Sprintf("f%d", k), fmt.Sprintf("v%d", k)
		c.list(s, start)
		c.list(e, end)
		c.numbers(f, float32(k+1))
		c.nodes = append(c.nodes, node("Slice", "x "+s+" "+e+" a", v), node("Mul", v+" "+f, v+"f"))
		joined += " " + v + "f"
	}
	for i, n := range c.nodes {
		n.Name = fmt.Sprintf("part%d", i)
	}
	attr := attrInt("axis", axis+1)
	if rng.IntN(2) == 0 {
		attr = attrInt("axis", axis-len(c.in))
	}
	c.nodes = append(c.nodes, node("Concat", joined[1:], "y", attr))
	y := c.newExpected("y", dims)
	first := 0
	for k := range parts {
		part := slices.Clone(c.in)
		part[axis] = lengths[k]
		every(part, func(at []int) {
			p, q := slices.Clone(at), slices.Clone(at)
			p[axis] += first
			q[axis] += starts[k]
			c.add(y, p, q, float64(k+1))
		})
		first += lengths[k]
	}
	return c
}

// drawDepthToSpace: with DCR channel (i·size + j)·depth + c, with CRD channel
// c·size² + i·size + j, is the place (i, j) of the blocks of channel c.
// https://onnx.ai/onnx/operators/onnx__DepthToSpace.html
func drawDepthToSpace(rng *rand.Rand) *affineCase {
	side, depth := between(rng, 1, 3), between(rng, 1, 3)
	c := &affineCase{opset: 13, in: append([]int{depth * side * side}, draws(rng, 2, 1, 4)...)}
	mode := []string{"DCR", "CRD"}[rng.IntN(2)]
	y := c.newExpected("y", []int{depth, c.in[1] * side, c.in[2] * side})
	every(y.dims, func(p []int) {
		i, j := p[1]%side, p[2]%side
		channel := (i*side+j)*depth + p[0]
		if mode == "CRD" {
			channel = p[0]*side*side + i*side + j
		}
		c.add(y, p, []int{channel, p[1] / side, p[2] / side}, 1)
	})
	c.nodes = []*onnxio.Node{node("DepthToSpace", "x", "y", attrInt("blocksize", side), onnxio.StringAttr("mode", mode))}
	return c
}

// drawSpaceToDepth: the place (i, j) of the blocks of channel c is channel
// (i·size + j)·C + c. https://onnx.ai/onnx/operators/onnx__SpaceToDepth.html
func drawSpaceToDepth(rng *rand.Rand) *affineCase {
	side, blocks := between(rng, 1, 3), draws(rng, 2, 1, 3)
	c := &affineCase{opset: 13, in: []int{between(rng, 1, 3), blocks[0] * side, blocks[1] * side}}
	y := c.newExpected("y", []int{c.in[0] * side * side, blocks[0], blocks[1]})
	every(c.in, func(q []int) {
		c.add(y, []int{(q[1]%side*side+q[2]%side)*c.in[0] + q[0], q[1] / side, q[2] / side}, q, 1)
	})
	c.nodes = []*onnxio.Node{node("SpaceToDepth", "x", "y", attrInt("blocksize", side))}
	return c
}

// drawReshape gives the same elements other axes: flattened, and those again with
// an axis of one put in and taken out.
func drawReshape(rng *rand.Rand) *affineCase {
	c := &affineCase{opset: 13, in: randomDims(rng, 5)}
	n := size(c.in)
	var factors []int
	for d := 1; d <= n; d++ {
		if n%d == 0 {
			factors = append(factors, d)
		}
	}
	d := factors[rng.IntN(len(factors))]
	at := between(rng, 1, len(c.in)+1)
	c.nodes = []*onnxio.Node{
		node("Flatten", "x", "flat"), node("Reshape", "flat "+c.list("shape", 0, d, -1), "y"),
		node("Unsqueeze", "x "+c.list("at", at), "more"), node("Squeeze", "more at", "z"),
	}
	for _, e := range []*expected{c.newExpected("y", []int{d, n / d}), c.newExpected("z", c.in)} {
		for i := range n {
			e.a[i*n+i] = 1
		}
	}
	return c
}
