package convert_test

import (
	"math"
	"math/rand/v2"
	"slices"

	"efcn/onnxio"
)

// between returns a number from low to high.
func between(rng *rand.Rand, low, high int) int { return low + rng.IntN(high-low+1) }

// draws returns n numbers from low to high.
func draws(rng *rand.Rand, n, low, high int) []int {
	v := make([]int, n)
	for i := range v {
		v[i] = between(rng, low, high)
	}
	return v
}

func wide(v []int) []int64 {
	w := make([]int64, len(v))
	for i, x := range v {
		w[i] = int64(x)
	}
	return w
}

func attrInts(name string, v ...int) *onnxio.Attribute { return onnxio.IntsAttr(name, wide(v)...) }
func attrInt(name string, v int) *onnxio.Attribute     { return onnxio.IntAttr(name, int64(v)) }

// wholes adds an initializer of whole numbers other than zero, each distinct in
// its tensor if there are not too many, and returns them.
func (c *affineCase) wholes(rng *rand.Rand, name string, dims ...int) []float64 {
	n := size(dims)
	v, f := make([]float64, n), make([]float32, n)
	for i, k := range rng.Perm(n) {
		if v[i] = float64(k + 1); rng.IntN(2) == 0 {
			v[i] = -v[i]
		}
		f[i] = float32(v[i])
	}
	c.inits = append(c.inits, onnxio.NewTensor(name, wide(dims), f))
	return v
}

// list adds an initializer of integers and returns its name.
func (c *affineCase) list(name string, v ...int) string {
	c.inits = append(c.inits, onnxio.NewTensor(name, []int64{int64(len(v))}, wide(v)))
	return name
}

func (c *affineCase) numbers(name string, v ...float32) string {
	c.inits = append(c.inits, onnxio.NewTensor(name, []int64{int64(len(v))}, v))
	return name
}

// randomDims is the shape of 1 to 3 spatial axes behind a channel axis.
func randomDims(rng *rand.Rand, most int) []int {
	axes := between(rng, 1, 3)
	return append([]int{between(rng, 1, 3)}, draws(rng, axes, 1, min(most, 7-axes))...)
}

// window is a sliding window as the operators' pages describe it.
type window struct{ kernel, strides, dilations, begins, ends []int }

func randomWindow(rng *rand.Rand, axes int) window {
	return window{
		kernel: draws(rng, axes, 1, 3), strides: draws(rng, axes, 1, 3), dilations: draws(rng, axes, 1, 2),
		begins: draws(rng, axes, 0, 3), ends: draws(rng, axes, 0, 3),
	}
}

func (w window) attributes() []*onnxio.Attribute {
	return []*onnxio.Attribute{
		attrInts("strides", w.strides...), attrInts("dilations", w.dilations...), attrInts("pads", slices.Concat(w.begins, w.ends)...),
	}
}

// drawConv follows https://onnx.ai/onnx/operators/onnx__Conv.html: output o at p is
// the sum over channels c of its group and taps t of
// W[o,c,t]·x[c, p·stride + t·dilation − pad], where that is inside.
func drawConv(rng *rand.Rand) *affineCase { return drawConvOf(rng, "y") }

func drawConvOf(rng *rand.Rand, output string) *affineCase {
	axes, group, per, filters := between(rng, 1, 3), between(rng, 1, 3), between(rng, 1, 2), between(rng, 1, 2)
	w := randomWindow(rng, axes)
	c := &affineCase{opset: 17, in: append([]int{group * per}, draws(rng, axes, 1, 7-axes)...)}
	attrs := w.attributes()
	auto := "NOTSET"
	if rng.IntN(3) == 0 {
		auto = []string{"SAME_UPPER", "SAME_LOWER", "VALID"}[rng.IntN(3)]
		attrs = append(attrs[:2], onnxio.StringAttr("auto_pad", auto))
	}
	dims := []int{group * filters}
	for i := range axes {
		extent := (w.kernel[i]-1)*w.dilations[i] + 1
		in := c.in[i+1]
		switch auto {
		case "VALID":
			w.begins[i], w.ends[i] = 0, 0
		case "SAME_UPPER", "SAME_LOWER":
			out := int(math.Ceil(float64(in) / float64(w.strides[i])))
			pads := max((out-1)*w.strides[i]+extent-in, 0)
			w.begins[i], w.ends[i] = pads/2, pads-pads/2
			if auto == "SAME_LOWER" {
				w.begins[i], w.ends[i] = w.ends[i], w.begins[i]
			}
		}
		room := in + w.begins[i] + w.ends[i] - extent
		if room < 0 {
			return nil
		}
		dims = append(dims, room/w.strides[i]+1)
	}
	wDims := append([]int{group * filters, per}, w.kernel...)
	weights := c.wholes(rng, "w", wDims...)
	y := c.newExpected(output, dims)
	every(dims, func(p []int) {
		every(append([]int{per}, w.kernel...), func(t []int) {
			q := []int{p[0]/filters*per + t[0]}
			for i := range axes {
				at := p[i+1]*w.strides[i] + t[i+1]*w.dilations[i] - w.begins[i]
				if at < 0 || at >= c.in[i+1] {
					return
				}
				q = append(q, at)
			}
			c.add(y, p, q, weights[place(wDims, append([]int{p[0]}, t...))])
		})
	})
	inputs := "x w"
	if rng.IntN(2) == 0 {
		inputs = "x w b"
		bias := c.wholes(rng, "b", group*filters)
		every(dims, func(p []int) { y.b[place(dims, p)] = bias[p[0]] })
	}
	c.nodes = []*onnxio.Node{node("Conv", inputs, output, append(attrs, attrInt("group", group))...)}
	return c
}

// drawConvTranspose follows https://onnx.ai/onnx/operators/onnx__ConvTranspose.html:
// W[c,m,t]·x[c,q] is added to output m of c's group at q·stride + t·dilation − pad.
func drawConvTranspose(rng *rand.Rand) *affineCase {
	axes, group, per, filters := between(rng, 1, 3), between(rng, 1, 3), between(rng, 1, 2), between(rng, 1, 2)
	w := randomWindow(rng, axes)
	c := &affineCase{opset: 17, in: append([]int{group * per}, draws(rng, axes, 1, 6-axes)...)}
	dims := []int{group * filters}
	given := rng.IntN(4) == 0 // the output's shape instead of its pads
	var extra []int
	for i := range axes {
		extra = append(extra, rng.IntN(max(w.strides[i], w.dilations[i])))
		full := w.strides[i]*(c.in[i+1]-1) + extra[i] + (w.kernel[i]-1)*w.dilations[i] + 1
		if given {
			total := rng.IntN(min(full, 4))
			w.begins[i], w.ends[i] = total-total/2, total/2
		}
		out := full - w.begins[i] - w.ends[i]
		if out < 1 {
			return nil
		}
		dims = append(dims, out)
	}
	attrs := append(w.attributes(), attrInt("group", group), attrInts("output_padding", extra...))
	if given {
		attrs[2] = attrInts("output_shape", dims[1:]...)
		if rng.IntN(2) == 0 {
			attrs = append(attrs, onnxio.StringAttr("auto_pad", "SAME_UPPER"))
			w.begins, w.ends = w.ends, w.begins
		}
	}
	wDims := append([]int{group * per, filters}, w.kernel...)
	weights := c.wholes(rng, "w", wDims...)
	y := c.newExpected("y", dims)
	every(c.in, func(q []int) {
		every(append([]int{filters}, w.kernel...), func(t []int) {
			p := []int{q[0]/per*filters + t[0]}
			for i := range axes {
				at := q[i+1]*w.strides[i] + t[i+1]*w.dilations[i] - w.begins[i]
				if at < 0 || at >= dims[i+1] {
					return
				}
				p = append(p, at)
			}
			c.add(y, p, q, weights[place(wDims, append([]int{q[0]}, t...))])
		})
	})
	inputs := "x w"
	if rng.IntN(2) == 0 {
		inputs = "x w b"
		bias := c.wholes(rng, "b", group*filters)
		every(dims, func(p []int) { y.b[place(dims, p)] = bias[p[0]] })
	}
	c.nodes = []*onnxio.Node{node("ConvTranspose", inputs, "y", attrs...)}
	return c
}

// drawAveragePool follows https://onnx.ai/onnx/operators/onnx__AveragePool.html: the
// mean over the cells of the window that are in the input or, with
// count_include_pad, in the padded input, for which padding is 0. ceil_mode
// rounds the number of windows up, without those that would start in the padding
// at the end.
func drawAveragePool(rng *rand.Rand) *affineCase {
	axes := between(rng, 1, 3)
	w := randomWindow(rng, axes)
	c := &affineCase{opset: 19, in: append([]int{between(rng, 1, 3)}, draws(rng, axes, 1, 8-axes)...)}
	ceil, include := rng.IntN(2), rng.IntN(2)
	dims := []int{c.in[0]}
	for i := range axes {
		w.begins[i], w.ends[i] = w.begins[i]%w.kernel[i], w.ends[i]%w.kernel[i]
		room := c.in[i+1] + w.begins[i] + w.ends[i] - (w.kernel[i]-1)*w.dilations[i] - 1
		if room < 0 {
			return nil
		}
		out := int(math.Floor(float64(room)/float64(w.strides[i]))) + 1
		if ceil == 1 {
			if out = int(math.Ceil(float64(room)/float64(w.strides[i]))) + 1; (out-1)*w.strides[i] >= c.in[i+1]+w.begins[i] {
				out--
			}
		}
		dims = append(dims, out)
	}
	y := c.newExpected("y", dims)
	every(dims, func(p []int) {
		var cells [][]int
		count := 0
		every(w.kernel, func(t []int) {
			q, inside, padded := []int{p[0]}, true, true
			for i := range axes {
				at := p[i+1]*w.strides[i] + t[i]*w.dilations[i] - w.begins[i]
				inside = inside && at >= 0 && at < c.in[i+1]
				padded = padded && at >= -w.begins[i] && at < c.in[i+1]+w.ends[i]
				q = append(q, at)
			}
			if inside {
				cells = append(cells, q)
			}
			if inside || include == 1 && padded {
				count++
			}
		})
		for _, q := range cells {
			c.add(y, p, q, 1/float64(count))
		}
	})
	c.nodes = []*onnxio.Node{node("AveragePool", "x", "y", append(w.attributes(), attrInts("kernel_shape", w.kernel...),
		attrInt("ceil_mode", ceil), attrInt("count_include_pad", include))...)}
	return c
}

// drawGlobalAveragePool: the mean of every channel.
// https://onnx.ai/onnx/operators/onnx__GlobalAveragePool.html
func drawGlobalAveragePool(rng *rand.Rand) *affineCase {
	c := &affineCase{opset: 17, in: randomDims(rng, 5)}
	dims := []int{c.in[0]}
	for range c.in[1:] {
		dims = append(dims, 1)
	}
	y := c.newExpected("y", dims)
	every(c.in, func(q []int) {
		p := make([]int, len(q))
		p[0] = q[0]
		c.add(y, p, q, 1/float64(size(c.in[1:])))
	})
	c.nodes = []*onnxio.Node{node("GlobalAveragePool", "x", "y")}
	return c
}

func drawReduceMean(rng *rand.Rand) *affineCase { return drawReduce(rng, "ReduceMean", 18) }
func drawReduceSum(rng *rand.Rand) *affineCase  { return drawReduce(rng, "ReduceSum", 13) }

// drawReduce: elements that differ in the reduced axes only are added, for a mean
// divided by their number. Axes may be counted from behind; without keepdims they
// are left out. https://onnx.ai/onnx/operators/onnx__ReduceMean.html
func drawReduce(rng *rand.Rand, op string, inputSince int64) *affineCase {
	c := &affineCase{opset: 11, in: randomDims(rng, 5)}
	if rng.IntN(4) == 0 {
		c.in = c.in[:1]
	}
	reduced := make([]bool, len(c.in))
	keep := rng.IntN(2)
	var axes, dims []int
	count := 1
	for i, d := range c.in {
		if reduced[i] = rng.IntN(2) == 0; !reduced[i] {
			dims = append(dims, d)
			continue
		}
		count *= d
		if keep == 1 {
			dims = append(dims, 1)
		}
		if axes = append(axes, i+1); rng.IntN(2) == 0 {
			axes[len(axes)-1] = i - len(c.in)
		}
	}
	if axes == nil {
		return nil
	}
	rng.Shuffle(len(axes), func(i, j int) { axes[i], axes[j] = axes[j], axes[i] })
	y := c.newExpected("y", dims)
	every(c.in, func(q []int) {
		var p []int
		for i := range q {
			switch {
			case !reduced[i]:
				p = append(p, q[i])
			case keep == 1:
				p = append(p, 0)
			}
		}
		if op == "ReduceMean" {
			c.add(y, p, q, 1/float64(count))
		} else {
			c.add(y, p, q, 1)
		}
	})
	if rng.IntN(2) == 0 {
		c.nodes = []*onnxio.Node{node(op, "x", "y", attrInts("axes", axes...), attrInt("keepdims", keep))}
	} else {
		c.opset = inputSince
		c.nodes = []*onnxio.Node{node(op, "x "+c.list("a", axes...), "y", attrInt("keepdims", keep))}
	}
	return c
}

// normalize makes a BatchNormalization the last node, from the value called from to
// "y": (x − mean)/√(var + epsilon)·scale + B in every channel.
// https://onnx.ai/onnx/operators/onnx__BatchNormalization.html
func (c *affineCase) normalize(rng *rand.Rand, from string, y *expected) {
	channels := y.dims[0]
	draw := func(name string, low, high float64) []float64 {
		v, f := make([]float64, channels), make([]float32, channels)
		for i := range v {
			f[i] = float32(low + (high-low)*rng.Float64())
			v[i] = float64(f[i])
		}
		c.numbers(name, f...)
		return v
	}
	scale, shift, mean, variance := draw("scale", -2, 2), draw("shift", -2, 2), draw("mean", -1, 1), draw("var", 0.1, 3)
	cols := size(c.in)
	every(y.dims, func(p []int) {
		r, k := place(y.dims, p), p[0]
		factor := scale[k] / math.Sqrt(variance[k]+float64(float32(0.01)))
		for j := range cols {
			y.a[r*cols+j] *= factor
		}
		y.b[r] = (y.b[r]-mean[k])*factor + shift[k]
	})
	c.nodes = append(c.nodes, node("BatchNormalization", from+" scale shift mean var", "y", onnxio.FloatAttr("epsilon", 0.01)))
}

func drawConvBatchNorm(rng *rand.Rand) *affineCase {
	c := drawConvOf(rng, "conv")
	if c == nil {
		return nil
	}
	c.normalize(rng, "conv", c.outs[0])
	c.outs[0].name = "y"
	return c
}

func drawBatchNorm(rng *rand.Rand) *affineCase {
	c := &affineCase{opset: 17, in: randomDims(rng, 5)}
	if rng.IntN(4) == 0 {
		c.in = c.in[:1]
	}
	y := c.newExpected("y", c.in)
	every(c.in, func(q []int) { c.add(y, q, q, 1) })
	c.normalize(rng, "x", y)
	return c
}
