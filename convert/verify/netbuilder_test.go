package verify_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"efcn/onnxio"
)

// netBuilder builds a CNN node by node. shape is that of the current value,
// without the batch axis.
type netBuilder struct {
	*rand.Rand
	m     *onnxio.Model
	at    string
	shape []int64
	ops   map[string]int
}

func newNetBuilder(seed uint64) *netBuilder {
	b := &netBuilder{Rand: rand.New(rand.NewPCG(seed, 7)), ops: make(map[string]int), at: "x"}
	rank := 1 + b.IntN(3)
	b.shape = []int64{[]int64{1, 2, 3, 4, 6}[b.IntN(5)]}
	for range rank {
		b.shape = append(b.shape, 4+b.Int64N([]int64{20, 6, 3}[rank-1]))
	}
	b.m = &onnxio.Model{IRVersion: 8, Opsets: []onnxio.Opset{{Version: 17 + 2*b.Int64N(2)}}, Graph: &onnxio.Graph{Name: "random"}}
	b.m.Graph.Inputs = []*onnxio.ValueInfo{{Name: "x", Type: b.typeOf(b.shape)}}
	return b
}

func (b *netBuilder) typeOf(shape []int64) onnxio.TensorType {
	t := onnxio.TensorType{Elem: onnxio.Float32, HasShape: true, Shape: onnxio.Shape{onnxio.Symbol("N")}}
	for _, d := range shape {
		t.Shape = append(t.Shape, onnxio.Fixed(d))
	}
	return t
}

func (b *netBuilder) random(name string, dims ...int64) string {
	n := int64(1)
	for _, d := range dims {
		n *= d
	}
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(b.NormFloat64())
		if b.IntN(20) == 0 {
			v[i] = 0 // in the support all the same
		}
	}
	b.m.Graph.Initializers = append(b.m.Graph.Initializers, onnxio.NewTensor(name, dims, v))
	return name
}

// positive adds a constant of numbers in [0.5, 1.5).
func (b *netBuilder) positive(name string, n int64) string {
	v := make([]float32, n)
	for i := range v {
		v[i] = 0.5 + b.Float32()
	}
	b.m.Graph.Initializers = append(b.m.Graph.Initializers, onnxio.NewTensor(name, []int64{n}, v))
	return name
}

func (b *netBuilder) node(op string, inputs []string, attrs ...*onnxio.Attribute) string {
	b.ops[op]++
	label := fmt.Sprintf("%s%d", strings.ToLower(op), len(b.m.Graph.Nodes))
	b.m.Graph.Nodes = append(b.m.Graph.Nodes, &onnxio.Node{
		Name: label, OpType: op, Inputs: inputs, Outputs: []string{label + "_out"}, Attributes: attrs,
	})
	b.at = label + "_out"
	return b.at
}

// window draws kernel, strides, dilations and pads for the current value, and
// sets its spatial shape to that of the output.
func (b *netBuilder) window(pool bool) (kernel []int64, attrs []*onnxio.Attribute) {
	spatial := b.shape[1:]
	var strides, dilations, begins, ends []int64
	auto, ceil := "NOTSET", false
	if b.IntN(4) == 0 {
		auto = []string{"SAME_UPPER", "SAME_LOWER", "VALID"}[b.IntN(3)]
	} else if pool {
		ceil = b.IntN(3) == 0
	}
	out := []int64{b.shape[0]}
	for _, in := range spatial {
		k := 1 + b.Int64N(min(4, in))
		s := 1 + b.Int64N(3)
		d := int64(1)
		if !pool && k > 1 {
			d = 1 + b.Int64N((in-1)/(k-1))
			d = min(d, 3)
		}
		span := (k-1)*d + 1
		var pb, pe, o int64
		if auto == "NOTSET" {
			pb, pe = b.Int64N(span), b.Int64N(span)
			if pool {
				pb, pe = b.Int64N((k+1)/2), b.Int64N((k+1)/2)
			}
		}
		switch {
		case auto == "SAME_UPPER" || auto == "SAME_LOWER":
			if pool {
				// With less than no padding ONNX Runtime 1.32 fails (MaxPool), or begins
				// inside the input (AveragePool); its Conv and TensorFlow take none then.
				s = min(s, span+1)
			}
			o = (in + s - 1) / s
		default:
			room := in + pb + pe - span
			o = room/s + 1
			if ceil && room%s != 0 && o*s < in+pb {
				o++
			}
		}
		kernel, strides, dilations = append(kernel, k), append(strides, s), append(dilations, d)
		begins, ends, out = append(begins, pb), append(ends, pe), append(out, o)
	}
	b.shape = out
	attrs = []*onnxio.Attribute{onnxio.IntsAttr("kernel_shape", kernel...), onnxio.IntsAttr("strides", strides...)}
	if !pool {
		attrs = append(attrs, onnxio.IntsAttr("dilations", dilations...))
	}
	if auto != "NOTSET" {
		return kernel, append(attrs, onnxio.StringAttr("auto_pad", auto))
	}
	attrs = append(attrs, onnxio.IntsAttr("pads", append(begins, ends...)...))
	if ceil {
		attrs = append(attrs, onnxio.IntAttr("ceil_mode", 1))
	}
	return kernel, attrs
}

func (b *netBuilder) conv() {
	channels := b.shape[0]
	group := int64(1)
	if b.IntN(2) == 0 {
		group = channels // depthwise
		if channels%2 == 0 && b.IntN(2) == 0 {
			group = 2
		}
	}
	filters := group * (1 + b.Int64N(3))
	kernel, attrs := b.window(false)
	b.shape[0] = filters
	name := fmt.Sprintf("w%d", len(b.m.Graph.Nodes))
	inputs := []string{b.at, b.random(name, append([]int64{filters, channels / group}, kernel...)...)}
	if b.IntN(3) > 0 {
		inputs = append(inputs, b.random(name+"_bias", filters))
	}
	b.node("Conv", inputs, append(attrs, onnxio.IntAttr("group", group))...)
}

func (b *netBuilder) batchNorm() {
	name := fmt.Sprintf("bn%d", len(b.m.Graph.Nodes))
	c := b.shape[0]
	b.node("BatchNormalization", []string{
		b.at, b.random(name+"_gamma", c), b.random(name+"_beta", c), b.random(name+"_mean", c), b.positive(name+"_var", c),
	}, onnxio.FloatAttr("epsilon", 1e-3))
}

// layer appends one random spatial operator.
func (b *netBuilder) layer() {
	switch b.IntN(20) {
	case 0, 1, 2, 3:
		b.conv()
		if b.IntN(2) == 0 {
			b.batchNorm()
		}
		if b.IntN(3) > 0 {
			b.node("Relu", []string{b.at})
		}
	case 4:
		b.batchNorm()
	case 5:
		_, attrs := b.window(true)
		b.node("MaxPool", []string{b.at}, attrs...)
	case 6:
		_, attrs := b.window(true)
		b.node("AveragePool", []string{b.at}, append(attrs, onnxio.IntAttr("count_include_pad", b.Int64N(2)))...)
	case 7:
		b.node([]string{"Tanh", "Sigmoid", "LeakyRelu", "Elu", "HardSwish"}[b.IntN(5)], []string{b.at})
	case 8: // a residual branch
		from := b.at
		branch := b.node("Relu", []string{from})
		b.node([]string{"Add", "Mul", "Sub"}[b.IntN(3)], []string{from, branch})
	case 9:
		from := b.at
		branch := b.node("Relu", []string{from})
		b.node("Concat", []string{branch, from}, onnxio.IntAttr("axis", 1))
		b.shape = append([]int64{2 * b.shape[0]}, b.shape[1:]...)
	case 10:
		perm, shape := []int64{0}, []int64(nil)
		for _, i := range b.Perm(len(b.shape)) {
			perm, shape = append(perm, int64(i+1)), append(shape, b.shape[i])
		}
		b.node("Transpose", []string{b.at}, onnxio.IntsAttr("perm", perm...))
		b.shape = shape
	case 11:
		name := fmt.Sprintf("c%d", len(b.m.Graph.Nodes))
		dims := []int64{b.shape[0]}
		for range b.shape[1:] {
			dims = append(dims, 1)
		}
		b.node([]string{"Add", "Mul"}[b.IntN(2)], []string{b.at, b.random(name, dims...)})
	case 12:
		b.convTranspose()
		if b.IntN(2) == 0 {
			b.batchNorm()
		}
	case 13:
		b.pad()
	case 14: // without the first and last index of an axis
		axis := b.IntN(len(b.shape))
		if b.shape[axis] > 2 {
			n := fmt.Sprintf("i%d", len(b.m.Graph.Nodes))
			step := 1 + b.Int64N(2)
			b.node("Slice", []string{b.at, b.list(n+"s", 1), b.list(n+"e", -1), b.list(n+"a", int64(axis+1)), b.list(n+"t", step)})
			b.shape = slices.Clone(b.shape)
			b.shape[axis] -= 2
			b.shape[axis] = (b.shape[axis] + step - 1) / step
		}
	case 15: // joined along any axis
		axis := b.IntN(len(b.shape))
		from := b.at
		branch := b.node("Relu", []string{from})
		b.node("Concat", []string{from, branch}, onnxio.IntAttr("axis", int64(axis+1)))
		b.shape = slices.Clone(b.shape)
		b.shape[axis] *= 2
	case 16: // split and joined the other way round
		axis := b.IntN(len(b.shape))
		if n := b.shape[axis]; n > 1 {
			name := fmt.Sprintf("i%d", len(b.m.Graph.Nodes))
			out := b.node("Split", []string{b.at, b.list(name, 1, n-1)}, onnxio.IntAttr("axis", int64(axis+1)))
			split := b.m.Graph.Nodes[len(b.m.Graph.Nodes)-1]
			split.Outputs = append(split.Outputs, out+"_rest")
			b.node("Concat", []string{out + "_rest", out}, onnxio.IntAttr("axis", int64(axis+1)))
		}
	case 17:
		if len(b.shape) == 3 && b.shape[1]%2 == 0 && b.shape[2]%2 == 0 {
			b.node("SpaceToDepth", []string{b.at}, onnxio.IntAttr("blocksize", 2))
			b.shape = []int64{4 * b.shape[0], b.shape[1] / 2, b.shape[2] / 2}
		}
		if len(b.shape) == 3 && b.shape[0]%4 == 0 {
			b.node("DepthToSpace", []string{b.at}, onnxio.IntAttr("blocksize", 2), onnxio.StringAttr("mode", []string{"DCR", "CRD"}[b.IntN(2)]))
			b.shape = []int64{b.shape[0] / 4, b.shape[1] * 2, b.shape[2] * 2}
		}
	case 18:
		b.resize()
	case 19:
		if b.IntN(2) == 0 {
			b.matMul()
			return
		}
		// Indices of any axis, in any order and again.
		axis := b.IntN(len(b.shape))
		n := b.shape[axis]
		indices := make([]int64, 1+b.IntN(4))
		for i := range indices {
			indices[i] = b.Int64N(2*n) - n
		}
		b.node("Gather", []string{b.at, b.list(fmt.Sprintf("i%d", len(b.m.Graph.Nodes)), indices...)}, onnxio.IntAttr("axis", int64(axis+1)))
		b.shape = slices.Clone(b.shape)
		b.shape[axis] = int64(len(indices))
	}
}

// matMul multiplies with a constant behind or before, of which some have a matrix
// for each channel.
func (b *netBuilder) matMul() {
	name := fmt.Sprintf("f%d", len(b.m.Graph.Nodes))
	last := len(b.shape) - 1
	n, lead := 1+b.Int64N(5), []int64(nil)
	if first := last > 0 && b.IntN(2) == 0; first {
		if last > 1 && b.IntN(2) == 0 {
			lead = append(slices.Clone(b.shape[:1]), slices.Repeat([]int64{1}, last-2)...)
		}
		b.node("MatMul", []string{b.random(name, append(lead, n, b.shape[last-1])...), b.at})
		b.shape = slices.Clone(b.shape)
		b.shape[last-1] = n
		return
	}
	if last > 1 && b.IntN(2) == 0 {
		lead = append(slices.Clone(b.shape[:1]), slices.Repeat([]int64{1}, last-2)...)
	}
	b.node("MatMul", []string{b.at, b.random(name, append(lead, b.shape[last], n)...)})
	b.shape = append(slices.Clone(b.shape[:last]), n)
}

func (b *netBuilder) list(name string, v ...int64) string {
	b.m.Graph.Initializers = append(b.m.Graph.Initializers, onnxio.NewTensor(name, []int64{int64(len(v))}, v))
	return name
}

func (b *netBuilder) convTranspose() {
	channels := b.shape[0]
	group := int64(1)
	if channels%2 == 0 && b.IntN(2) == 0 {
		group = 2
	}
	out := []int64{group * (1 + b.Int64N(2))}
	var kernel, strides, dilations, begins, ends, more []int64
	for _, in := range b.shape[1:] {
		k, s, d := 1+b.Int64N(3), 1+b.Int64N(2), 1+b.Int64N(2)
		span := (k-1)*d + 1
		pb, pe := b.Int64N((span+1)/2), b.Int64N((span+1)/2)
		extra := b.Int64N(s)
		kernel, strides, dilations = append(kernel, k), append(strides, s), append(dilations, d)
		begins, ends, more = append(begins, pb), append(ends, pe), append(more, extra)
		out = append(out, (in-1)*s+span+extra-pb-pe)
	}
	for _, d := range out {
		if d < 1 {
			return
		}
	}
	name := fmt.Sprintf("w%d", len(b.m.Graph.Nodes))
	inputs := []string{b.at, b.random(name, append([]int64{channels, out[0] / group}, kernel...)...)}
	if b.IntN(2) == 0 {
		inputs = append(inputs, b.random(name+"_bias", out[0]))
	}
	b.shape = out
	b.node("ConvTranspose", inputs, onnxio.IntAttr("group", group), onnxio.IntsAttr("kernel_shape", kernel...),
		onnxio.IntsAttr("strides", strides...), onnxio.IntsAttr("dilations", dilations...),
		onnxio.IntsAttr("pads", append(begins, ends...)...), onnxio.IntsAttr("output_padding", more...))
}

func (b *netBuilder) pad() {
	mode := []string{"constant", "reflect", "edge"}[b.IntN(3)]
	begins, ends, shape := []int64{0}, []int64{0}, []int64(nil)
	for _, d := range b.shape {
		pb, pe := b.Int64N(min(3, d)), b.Int64N(min(3, d))
		begins, ends, shape = append(begins, pb), append(ends, pe), append(shape, d+pb+pe)
	}
	name := fmt.Sprintf("p%d", len(b.m.Graph.Nodes))
	inputs := []string{b.at, b.list(name, append(begins, ends...)...)}
	if mode == "constant" && b.IntN(2) == 0 {
		b.m.Graph.Initializers = append(b.m.Graph.Initializers, onnxio.NewTensor(name+"_value", nil, []float32{b.Float32()}))
		inputs = append(inputs, name+"_value")
	}
	b.node("Pad", inputs, onnxio.StringAttr("mode", mode))
	b.shape = shape
}

func (b *netBuilder) resize() {
	scales, shape := []float32{1, 1}, []int64{b.shape[0]}
	for _, d := range b.shape[1:] {
		// By 0.6 and 1.5, which pixel is the nearest depends on the precision.
		s := []float32{2, 3, 4, 0.5, 0.6, 1.5}[b.IntN(6)]
		if int64(float32(d)*s) < 1 {
			return
		}
		scales, shape = append(scales, s), append(shape, int64(float32(d)*s))
	}
	name := fmt.Sprintf("s%d", len(b.m.Graph.Nodes))
	b.m.Graph.Initializers = append(b.m.Graph.Initializers, onnxio.NewTensor(name, []int64{int64(len(scales))}, scales))
	b.node("Resize", []string{b.at, "", name}, onnxio.StringAttr("mode", []string{"linear", "nearest"}[b.IntN(2)]),
		onnxio.StringAttr("coordinate_transformation_mode", []string{"half_pixel", "asymmetric"}[b.IntN(2)]),
		onnxio.StringAttr("nearest_mode", "floor"))
	b.shape = shape
}

func (b *netBuilder) size() int64 {
	n := int64(1)
	for _, d := range b.shape {
		n *= d
	}
	return n
}

// randomNet builds a CNN of a few spatial layers and a classifier.
func randomNet(seed uint64) (*onnxio.Model, map[string]int) {
	b := newNetBuilder(seed)
	for range 2 + b.IntN(4) {
		b.layer()
		for b.size() > 600 { // keep the matrices small
			for i := range b.shape[1:] {
				b.shape[i+1] = (b.shape[i+1] + 1) / 2
			}
			attrs := []*onnxio.Attribute{}
			var k, s []int64
			for range b.shape[1:] {
				k, s = append(k, 1), append(s, 2)
			}
			attrs = append(attrs, onnxio.IntsAttr("kernel_shape", k...), onnxio.IntsAttr("strides", s...))
			b.node("MaxPool", []string{b.at}, attrs...)
		}
	}
	if b.IntN(3) == 0 {
		b.node("GlobalAveragePool", []string{b.at})
		for i := range b.shape[1:] {
			b.shape[i+1] = 1
		}
	}
	if b.IntN(4) > 0 {
		n := b.size()
		b.node("Flatten", []string{b.at})
		if b.IntN(2) == 0 {
			b.node("Gemm", []string{b.at, b.random("fc", 5, n), b.random("fc_bias", 5)}, onnxio.IntAttr("transB", 1))
		} else {
			b.node("Gemm", []string{b.at, b.random("fc", n, 5)})
		}
		b.shape = []int64{5}
		if b.IntN(2) == 0 {
			b.node("Softmax", []string{b.at}, onnxio.IntAttr("axis", 1))
		}
	}
	b.m.Graph.Outputs = []*onnxio.ValueInfo{{Name: b.at, Type: b.typeOf(b.shape)}}
	return b.m, b.ops
}
