package verify

import (
	"math"

	"efcn/internal/engine"
	"efcn/onnxio"
)

// single bounds the outputs of one node of the CNN, by itself, given the bounds of
// its inputs. known says that one of those is not 0.
func (b *bounds) single(node *onnxio.Node, ds [][]float64, known bool) ([][]float64, error) {
	switch {
	case b.net.lacks[node]:
		if !known && !b.pair() {
			return nil, nil
		}
		return b.lacking(node, ds)
	case isOp(node, "BatchNormalization") && (normalisesByBatch(node) || anyBound(ds[1:])):
		if !known {
			return nil, nil
		}
		return b.unknown(node), nil
	case isOp(node, "BatchNormalization"):
		d, err := b.normBound(node, ds[0])
		return [][]float64{d}, err
	case b.net.isLinear(node):
		s, err := b.linear(node, ds)
		if err != nil {
			return nil, err
		}
		return [][]float64{b.linearBound(s)}, nil
	case isOp(node, "Resize", "Upsample") && b.interpolates(node):
		d, err := b.interpolated(node, ds[0])
		return [][]float64{d}, err
	case isOp(node, "MatMul") && len(ds) == 2:
		d, err := b.matMul(node, ds)
		return [][]float64{d}, err
	case !known && (!b.pair() || moves(node) || hasSteps(node)), operatorOf(node).ofShape:
		return nil, nil
	case hasSteps(node):
		return b.stepped(node, ds)
	case isOp(node, "DequantizeLinear"):
		d, err := b.dequantized(node, ds)
		return [][]float64{d}, err
	case isOp(node, "And", "Or", "Xor", "Not"):
		d, err := b.logical(node, ds)
		return [][]float64{d}, err
	case isOp(node, "Where"):
		d, err := b.chosen(node, ds)
		return [][]float64{d}, err
	case isOp(node, "Gather", "GatherElements") && ds[1] != nil:
		d, err := b.gathered(node, ds)
		return [][]float64{d}, err
	case isOp(node, "OneHot"):
		return b.oneHot(node, ds)
	case moves(node):
		return b.moved(node, ds)
	case isOp(node, "Add", "Sub", "Sum", "Mean"):
		d, err := b.added(node, ds)
		return [][]float64{d}, err
	case isOp(node, "Mul"):
		d, err := b.multiplied(node, ds)
		return [][]float64{d}, err
	case isOp(node, "Div"):
		d, err := b.divided(node, ds)
		return [][]float64{d}, err
	case isOp(node, "Softmax", "LogSoftmax"):
		return [][]float64{b.softmax(node, ds[0])}, nil
	}
	if l, exact, ok := b.lipschitz(node); ok && (known || !exact) {
		d, err := b.function(node, ds[0], l, exact)
		return [][]float64{d}, err
	}
	if !known {
		return nil, nil
	}
	return b.unknown(node), nil
}

// pair says whether nothing is known of how the second model was made. Equal
// inputs then do not give equal bits: what is one node in one model may be
// several in the other, with constants that were rounded once.
func (b *bounder) pair() bool { return b.parameters != 0 }

// unknown is +Inf for every element of every output.
func (b *bounds) unknown(node *onnxio.Node) [][]float64 {
	out := make([][]float64, len(node.Outputs))
	for i, name := range node.Outputs {
		if v := b.values.header(name); v != nil {
			out[i] = make([]float64, product(v.Shape))
			for k := range out[i] {
				out[i][k] = math.Inf(1)
			}
		}
	}
	return out
}

// moves says whether a node only moves, repeats or selects elements, by indices
// that do not depend on them, or takes their maxima.
func moves(node *onnxio.Node) bool {
	return operatorOf(node).reshapes || scatters(node) || isOp(node, "Transpose", "Gather", "GatherElements", "GatherND", "Concat", "Slice", "Split", "Pad", "Expand", "Tile",
		"DepthToSpace", "SpaceToDepth", "Resize", "Upsample", "Cast", "MaxPool", "GlobalMaxPool", "ReduceMax", "ReduceMin", "Max", "Min")
}

// moved runs a node on the bounds of its inputs.
func (b *bounds) moved(node *onnxio.Node, ds [][]float64) ([][]float64, error) {
	n := *node
	if isOp(node, "Min", "ReduceMin") { // the bound of a minimum is the largest too
		n.OpType = map[string]string{"Min": "Max", "ReduceMin": "ReduceMax"}[node.OpType]
	}
	if isOp(node, "MaxPool", "Dropout") { // indices and masks are of the values
		n.Outputs = n.Outputs[:1]
	}
	in := make([]*engine.Tensor[float64], len(node.Inputs))
	for i, name := range node.Inputs {
		v, err := b.value(name)
		if err != nil {
			return nil, err
		}
		data := i == 0 || isOp(node, "Concat", "Max", "Min") || i == 2 && scatters(node)
		switch {
		case v == nil || isOp(node, "Pad") && i == 2:
		case !data && ds[i] != nil: // what steers it may differ
			if !isOp(node, "GatherND") && !scatters(node) {
				b.loosen(node)
			}
			return b.unknown(node), nil
		case data:
			in[i] = like(v, ds[i])
		default:
			in[i] = v
		}
	}
	out, err := b.run(&n, in...)
	if err != nil {
		return nil, err
	}
	bounds := make([][]float64, len(out))
	for i, v := range out {
		if v != nil {
			bounds[i] = v.F
		}
	}
	if isOp(node, "MaxPool") && node.Output(1) != "" { // where it is may be anywhere in the window
		bounds = append(bounds, b.unknown(node)[1])
	}
	return bounds, nil
}

// added bounds a sum of k values: the sum of the bounds, and in either model the
// rounding of k operations on numbers of the size of Σ|x|.
func (b *bounds) added(node *onnxio.Node, ds [][]float64) ([]float64, error) {
	var gains, all []*engine.Tensor[float64]
	for i, name := range node.Inputs {
		m, err := b.magnitude(name)
		if err != nil {
			return nil, err
		}
		all, gains = append(all, sizes(m)), append(gains, like(m, ds[i]))
	}
	size, err := b.apply("Sum", all...)
	if err != nil {
		return nil, err
	}
	gain, err := b.apply("Sum", gains...)
	if err != nil {
		return nil, err
	}
	g := b.gamma(len(node.Inputs)) + b.parameters
	if b.integers(node) {
		g = 0
	}
	d := make([]float64, len(gain.F))
	for i := range d {
		d[i] = own * ((1+g)*gain.F[i] + 2*g*size.F[i])
		if own*(1+g)*(size.F[i]+gain.F[i]) >= b.huge {
			d[i] = math.Inf(1)
		}
	}
	return d, nil
}

// multiplied bounds a product: |a'b' − ab| ≤ |a|d_b + |b|d_a + d_a·d_b.
func (b *bounds) multiplied(node *onnxio.Node, ds [][]float64) ([]float64, error) {
	var m, e [2]*engine.Tensor[float64]
	for i := range m {
		v, err := b.magnitude(node.Input(i))
		if err != nil {
			return nil, err
		}
		v = sizes(v)
		wide := like(v, append([]float64(nil), v.F...))
		for k := range ds[i] {
			wide.F[k] += ds[i][k]
		}
		m[i], e[i] = v, wide
	}
	size, err := b.apply("Mul", m[0], m[1])
	if err != nil {
		return nil, err
	}
	// (|a|+d_a)(|b|+d_b) − |a||b| loses digits where d is small, so the three
	// products are added up instead.
	d := make([]float64, len(size.F))
	for i := range ds {
		if ds[i] == nil {
			continue
		}
		other := m[1-i]
		if i == 1 {
			other = e[0]
		}
		part, err := b.apply("Mul", like(m[i], ds[i]), other)
		if err != nil {
			return nil, err
		}
		for k, v := range part.F {
			d[k] += v
		}
	}
	if b.integers(node) {
		return d, nil
	}
	for k := range d {
		d[k] = own*(1+4*b.unit)*d[k] + own*2*(b.unit+b.parameters)*size.F[k] + 2*b.tiny
		if own*(size.F[k]+d[k]) >= b.huge {
			d[k] = math.Inf(1)
		}
	}
	return d, nil
}

// integers says whether a node computes integers, which are not rounded.
func (b *bounds) integers(node *onnxio.Node) bool {
	v := b.values.header(node.Output(0))
	return v != nil && !v.Type.IsFloat()
}

// divided bounds a quotient y = a/b: (d_a + |y|d_b)/(|b| − d_b).
func (b *bounds) divided(node *onnxio.Node, ds [][]float64) ([]float64, error) {
	if b.integers(node) { // it truncates
		return b.quotient(node, ds)
	}
	den, err := b.magnitude(node.Input(1))
	if err != nil {
		return nil, err
	}
	num, err := b.value(node.Input(0))
	if err != nil {
		return nil, err
	}
	y, err := b.magnitude(node.Output(0))
	if err != nil {
		return nil, err
	}
	part, err := b.apply("Mul", y, like(den, ds[1]))
	if err != nil {
		return nil, err
	}
	if part, err = b.apply("Add", part, like(num, ds[0])); err != nil {
		return nil, err
	}
	least := like(den, append([]float64(nil), den.F...))
	for k := range least.F {
		if ds[1] != nil {
			least.F[k] -= ds[1][k]
		}
		if least.F[k] <= 0 {
			return b.unknown(node)[0], nil
		}
	}
	q, err := b.apply("Div", part, least)
	if err != nil {
		return nil, err
	}
	for k := range q.F {
		q.F[k] = own*(1+4*b.unit)*q.F[k] + own*2*(b.unit+b.parameters)*y.F[k] + 2*b.tiny
	}
	return q.F, nil
}

// matMul bounds a product of two values:
// |A|d_B + d_A(|B| + d_B) + 2γ_{n+2}|A||B|.
func (b *bounds) matMul(node *onnxio.Node, ds [][]float64) ([]float64, error) {
	var m [2]*engine.Tensor[float64]
	for i := range m {
		var err error
		if m[i], err = b.magnitude(node.Input(i)); err != nil {
			return nil, err
		}
		m[i] = sizes(m[i])
	}
	size, err := b.run(node, m[0], m[1])
	if err != nil {
		return nil, err
	}
	g := b.gamma(m[0].Shape[len(m[0].Shape)-1]+2) + b.parameters
	d := make([]float64, len(size[0].F))
	for k, v := range size[0].F {
		d[k] = own * 2 * g * v
	}
	wide := m[1]
	if ds[1] != nil {
		part, err := b.run(node, m[0], like(m[1], ds[1]))
		if err != nil {
			return nil, err
		}
		wide = like(m[1], append([]float64(nil), m[1].F...))
		for k, v := range ds[1] {
			wide.F[k] += v
		}
		for k, v := range part[0].F {
			d[k] += own * (1 + g) * v
		}
	}
	if ds[0] != nil {
		part, err := b.run(node, like(m[0], ds[0]), wide)
		if err != nil {
			return nil, err
		}
		for k, v := range part[0].F {
			d[k] += own * (1 + g) * v
		}
	}
	return d, nil
}

// softmax bounds Softmax and LogSoftmax over n elements that are at most δ
// apart, δ the largest bound of a sample: y changes by a factor of at most
// exp(2δ), and each evaluation rounds like a sum of n with a few functions more.
func (b *bounds) softmax(node *onnxio.Node, d []float64) []float64 {
	y := b.values.value(node.Output(0))
	out := make([]float64, len(y.F))
	if len(out) == 0 {
		return out
	}
	each := len(out) / y.Shape[0]
	g := b.gamma(each + 16)
	for s := range y.Shape[0] {
		delta := 0.0
		if d != nil {
			for _, v := range d[s*each : (s+1)*each] {
				delta = math.Max(delta, v)
			}
		}
		for k := s * each; k < (s+1)*each; k++ {
			v := math.Abs(y.F[k])
			if node.OpType == "LogSoftmax" {
				out[k] = own * (2*delta + 2*g*(v+1))
				continue
			}
			out[k] = math.Min(own*(v*math.Expm1(2*delta)*(1+2*g)+2*g*v)+2*b.tiny, 1+2*g)
		}
	}
	return out
}

// lipschitz returns a Lipschitz constant of an elementwise function of its first
// input, and whether it is computed without rounding.
func (b *bounds) lipschitz(node *onnxio.Node) (l float64, exact, ok bool) {
	attr := func(name string, def float32) float64 {
		v, err := node.Float(name, def)
		ok = ok && err == nil
		return math.Abs(float64(v))
	}
	ok = true
	switch {
	case isOp(node, "Relu", "Abs", "Neg", "Clip"):
		return 1, true, ok
	case isOp(node, "Tanh", "Softplus", "Softsign", "Sin", "Cos", "Atan", "Asinh", "Celu"):
		return 1, false, ok
	case isOp(node, "Sigmoid"):
		return 0.25, false, ok
	case isOp(node, "HardSigmoid"):
		l = attr("alpha", 0.2)
	case isOp(node, "HardSwish"): // steepest at x = 3: (2x+3)/6
		return 1.5, false, ok
	case isOp(node, "LeakyRelu"):
		l = math.Max(1, attr("alpha", 0.01))
	case isOp(node, "Elu"):
		l = math.Max(1, attr("alpha", 1))
	case isOp(node, "Selu"):
		l = attr("gamma", 1.05070102) * math.Max(1, attr("alpha", 1.67326319))
	case isOp(node, "Erf"): // 2/√π
		return 1.1284, false, ok
	case isOp(node, "Gelu"): // steepest near x = √2: 1.1289
		return 1.13, false, ok
	case isOp(node, "Mish"): // 1.0885
		return 1.09, false, ok
	case isOp(node, "PRelu"):
		slope := b.net.constants[node.Input(1)]
		if slope == nil {
			return 0, false, false
		}
		v, err := onnxio.Floats[float64](slope)
		l = 1
		for _, s := range v {
			l = math.Max(l, math.Abs(s))
		}
		ok = err == nil
	default:
		return 0, false, false
	}
	return l, false, ok
}

// function bounds an elementwise function with Lipschitz constant l. A function
// that rounds is taken to be right to 4 units in the last place. Of a pair of
// models, one may write it in several operators, with constants rounded once: it
// is taken to be as if its argument were off by as much.
func (b *bounds) function(node *onnxio.Node, d []float64, l float64, exact bool) ([]float64, error) {
	y := b.values.value(node.Output(0))
	out := make([]float64, y.Len())
	for i := range out {
		v := 0.0
		if d != nil {
			v = d[i]
		}
		out[i] = own * l * v
		if !exact {
			out[i] += own*16*b.unit*(math.Abs(y.F[i])+l*v) + 2*b.tiny
		}
	}
	if exact || !b.pair() {
		return out, nil
	}
	x, err := b.magnitude(node.Input(0))
	if err != nil {
		return nil, err
	}
	for i, m := range x.F {
		out[i] += own * (16*b.unit + 2*b.parameters) * l * m
	}
	return out, nil
}
