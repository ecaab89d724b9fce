package verify

import (
	"fmt"
	"math"
	"slices"

	"efcn/internal/engine"
	"efcn/internal/kernel"
	"efcn/onnxio"
)

// arithmetic is the floating-point arithmetic that a bound is about.
type arithmetic struct {
	name string
	unit float64 // unit roundoff u: |fl(a∘b) − a∘b| ≤ u·|a∘b|
	tiny float64 // what a product that underflows may lose
	huge float64 // largest finite number
	// parameters is the relative error that every parameter of a linear operator
	// may have in either model besides: 0, or the unit roundoff of float32 where
	// nothing says how the second model was made.
	parameters float64
}

func arithmeticOf[T kernel.Float]() arithmetic {
	if _, single := any(T(0)).(float32); single {
		return arithmetic{name: Float32, unit: 0x1p-24, tiny: 0x1p-150, huge: math.MaxFloat32}
	}
	return arithmetic{name: Float64, unit: 0x1p-53, tiny: 0x1p-1074, huge: math.MaxFloat64}
}

// gamma is γ_n = n·u/(1−n·u) (Higham, Accuracy and Stability of Numerical
// Algorithms, §3.1), which bounds the relative error of n operations in a row.
func (a arithmetic) gamma(n int) float64 {
	nu := float64(n) * a.unit
	if nu >= 1 {
		return math.Inf(1)
	}
	return nu / (1 - nu)
}

// own covers the rounding of the bounds themselves, which are computed in
// float64 with sums of at most 2³² terms.
const own = 1 + 0x1p-20

// A bounder bounds how far rounding can bring two computations of the CNN apart
// that are the same in exact arithmetic: the CNN's own nodes, and those of the
// eFCN that stand for them. It goes through the CNN's nodes, so it believes
// nothing that the eFCN says.
//
// Every operator takes elementwise bounds d on how far its inputs are apart and
// returns that of its outputs. nil is 0: both computations see the same bits.
//
//   - Linear, y = Ax + b with rows of at most n entries that are not zero: each
//     of the two sums is within γ_{n+2}(|A||x| + |b|) of the exact one in whatever
//     order it is taken and with or without fused operations (n products, n+1
//     sums; one more for the entries 1/n of averages, which are rounded). Entries
//     that are zero add nothing and cost no rounding. So
//     d_y = (1+γ)·|A|d_x + 2γ_{n+2}(|A||x| + |b|).
//   - Linear with a BatchNormalization multiplied in: see folded.
//   - What only moves or selects elements: d moves with them. Maxima: the
//     largest d among the candidates.
//   - Elementwise functions: both models call the same code, so equal inputs give
//     equal bits and d_y = 0 from d_x = 0. Otherwise d_y = L·d_x plus the
//     rounding of both results, L a Lipschitz constant.
//   - An operator with steps: see hasSteps.
//   - An operator of which no bound is known gives +Inf from d_x ≠ 0, and 0 from 0.
type bounder struct {
	arithmetic
	products
	net *net
	// hidden says of a value of the CNN that the second model does not have it.
	hidden func(name string) bool
	// replaced says of a value of the CNN that a Gemm computes it in the second.
	replaced func(name string) bool
	abs      map[string]*engine.Tensor[float64] // |constant| by name
}

// bounds are those of one batch.
type bounds struct {
	*bounder
	values activations // of the CNN
	// reset holds the values that both models are given the CNN's bits of. With a
	// nil map nothing is reset, and bounds add up from the inputs on.
	reset map[string]bool
	known map[string][]float64
	// nearSteps holds, by value, the elements that may be on either side of a step;
	// loose the values whose shape data decides, which may differ. See hasSteps.
	nearSteps map[string][]int
	loose     map[string]bool
}

// of returns the bound of a value of the CNN; nil is 0.
func (b *bounds) of(name string) ([]float64, error) {
	node := b.net.producer[name]
	if node == nil || b.reset[name] {
		return nil, nil
	}
	if d, ok := b.known[name]; ok {
		return d, nil
	}
	ds, any, err := b.inputs(node)
	if err != nil {
		return nil, err
	}
	var out [][]float64
	if b.isLoose(node) {
		b.loosen(node)
		out = b.unknown(node)
	} else if out, err = b.node(node, ds, any); err != nil {
		return nil, node.Wrap(fmt.Errorf("bounding its rounding error: %w", err))
	}
	for i, name := range node.Outputs {
		if name == "" {
			continue
		}
		var d []float64
		if i < len(out) {
			d = out[i]
		}
		for k, v := range d {
			if math.IsNaN(v) { // Inf·0 and Inf−Inf
				d[k] = math.Inf(1)
			}
		}
		b.known[name] = b.whole(name, d)
	}
	return b.known[name], nil
}

// whole returns the bound of a value: integers are a whole number apart, and more
// than their type holds may wrap. All 0 is nil.
func (b *bounds) whole(name string, d []float64) []float64 {
	v := b.values.header(name)
	if v == nil || v.Type.IsFloat() || d == nil {
		return d
	}
	least, greatest := rangeOf(v.Type)
	any := false
	for k, e := range d {
		if d[k] = math.Floor(e); d[k] > 0 {
			any = true
			if x := float64(v.I[k]); x-d[k] < least || x+d[k] > greatest {
				d[k] = greatest - least
			}
		}
	}
	if !any {
		return nil
	}
	return d
}

// anyBound reports whether a bound is not 0 everywhere.
func anyBound(ds [][]float64) bool {
	return slices.ContainsFunc(ds, func(d []float64) bool { return d != nil })
}

// inputs returns the bounds of a node's inputs, and whether any is not nil.
func (b *bounds) inputs(node *onnxio.Node) (ds [][]float64, any bool, err error) {
	ds = make([][]float64, len(node.Inputs))
	for i, in := range node.Inputs {
		if in == "" {
			continue
		}
		if ds[i], err = b.of(in); err != nil {
			return nil, false, err
		}
		any = any || ds[i] != nil
		if b.net.foreign[in] { // no bound has a place, but it may differ
			_, differs, err := b.inputs(b.net.producer[in])
			if err != nil {
				return nil, false, err
			}
			any = any || differs
		}
	}
	return ds, any, nil
}

// value returns a value or constant of the CNN in float64.
func (b *bounds) value(name string) (*engine.Tensor[float64], error) {
	if name == "" {
		return nil, nil
	}
	if t := b.net.constants[name]; t != nil {
		return engine.FromONNX[float64](t)
	}
	v := b.values.value(name)
	if v == nil {
		return nil, fmt.Errorf("value %q was not computed", name)
	}
	return v, nil
}

// magnitude returns the absolute values of a value or constant.
func (b *bounds) magnitude(name string) (*engine.Tensor[float64], error) {
	if m := b.abs[name]; m != nil {
		return m, nil
	}
	v, err := b.value(name)
	if v == nil || err != nil {
		return nil, err
	}
	m := &engine.Tensor[float64]{Type: v.Type, Shape: v.Shape, I: v.I}
	if v.Type.IsFloat() {
		m.F = make([]float64, len(v.F))
		for i, x := range v.F {
			m.F[i] = math.Abs(x)
		}
	}
	if b.net.constants[name] != nil {
		b.abs[name] = m
	}
	return m, nil
}

// like returns the elements d in the shape of a value; nil becomes zeros.
func like(v *engine.Tensor[float64], d []float64) *engine.Tensor[float64] {
	if d == nil {
		d = make([]float64, product(v.Shape))
	}
	t := v.Type
	if !t.IsFloat() {
		t = onnxio.Float64 // a bound on integers is a number
	}
	return &engine.Tensor[float64]{Type: t, Shape: v.Shape, F: d}
}

// run computes a node in float64.
func (b *bounds) run(node *onnxio.Node, in ...*engine.Tensor[float64]) ([]*engine.Tensor[float64], error) {
	for len(in) > 0 && in[len(in)-1] == nil {
		in = in[:len(in)-1]
	}
	return engine.RunNode(node, b.net.opset, in)
}

// apply computes a fresh node of an operator of the default domain.
func (b *bounds) apply(op string, in ...*engine.Tensor[float64]) (*engine.Tensor[float64], error) {
	node := &onnxio.Node{Name: "bound", OpType: op, Outputs: []string{"d"}}
	for i := range in {
		node.Inputs = append(node.Inputs, fmt.Sprint("x", i))
	}
	out, err := b.run(node, in...)
	if err != nil {
		return nil, err
	}
	return out[0], nil
}

// sum is a linear operator's part of a bound: the magnitudes |A||x| + |b|, the
// gain |A|d, and the most terms in a row.
type sum struct {
	magnitude, gain []float64
	terms           int
	most            float64 // the largest |x|
}

// isLinear says whether a node is a linear operator that rounds.
func (n *net) isLinear(node *onnxio.Node) bool {
	switch {
	case isOp(node, "Conv", "ConvTranspose"), isOp(node, "Gemm", "MatMul"):
		data := n.dataOf(node)
		return n.constants[node.Input(1-data)] != nil && n.constants[node.Input(data)] == nil
	default:
		return isOp(node, "AveragePool", "GlobalAveragePool", "ReduceMean", "ReduceSum")
	}
}

// absolute returns a linear node with the magnitudes of its attributes for them.
func absolute(node *onnxio.Node) *onnxio.Node {
	n := *node
	n.Attributes = nil
	for _, a := range node.Attributes {
		if isOp(node, "Gemm") && (a.Name == "alpha" || a.Name == "beta") {
			a = onnxio.FloatAttr(a.Name, float32(math.Abs(float64(a.F))))
		}
		n.Attributes = append(n.Attributes, a)
	}
	return &n
}

// linear computes the sum of a linear node, ds the bounds on its inputs.
func (b *bounds) linear(node *onnxio.Node, ds [][]float64) (*sum, error) {
	absolute := absolute(node)
	in := make([]*engine.Tensor[float64], len(node.Inputs))
	for i, name := range node.Inputs {
		var err error
		if in[i], err = b.magnitude(name); err != nil {
			return nil, err
		}
	}
	data := b.net.dataOf(node)
	in[data] = sizes(in[data])
	out, err := b.run(absolute, in...)
	if err != nil {
		return nil, err
	}
	s := &sum{magnitude: out[0].F}
	for _, v := range in[data].F {
		s.most = math.Max(s.most, v)
	}
	if s.terms, err = rowLength(node, in, out[0]); err != nil {
		return nil, err
	}
	bias := len(in) > 2 && in[2] != nil
	if ds[data] == nil && (!bias || ds[2] == nil) {
		return s, nil
	}
	in[data] = like(in[data], ds[data])
	if bias {
		in[2] = like(in[2], ds[2])
	}
	if out, err = b.run(absolute, in...); err != nil {
		return nil, err
	}
	s.gain = out[0].F
	return s, nil
}

// rowLength is the most terms that an output of a linear node adds up, without
// its bias.
func rowLength(node *onnxio.Node, in []*engine.Tensor[float64], out *engine.Tensor[float64]) (int, error) {
	switch node.OpType {
	case "Conv":
		return product(in[1].Shape[1:]), nil
	case "ConvTranspose":
		return in[1].Shape[0] * product(in[1].Shape[2:]), nil
	case "Gemm":
		transA, err := node.Int("transA", 0)
		if transA != 0 {
			return in[0].Shape[0], err
		}
		return in[0].Shape[1], err
	case "MatMul":
		return in[0].Shape[len(in[0].Shape)-1], nil
	case "AveragePool":
		kernel, err := node.Ints("kernel_shape")
		n := 1
		for _, k := range kernel {
			n *= int(k)
		}
		return n, err
	default:
		return product(in[0].Shape) / max(1, product(out.Shape)), nil
	}
}

// linearBound is the bound of a linear operator.
func (b *bounds) linearBound(s *sum) []float64 {
	g := b.gamma(s.terms+2) + b.parameters
	under := 2 * float64(s.terms) * b.tiny
	d := make([]float64, len(s.magnitude))
	for i, m := range s.magnitude {
		d[i] = own*2*g*m + under
		gain := 0.0
		if s.gain != nil {
			gain = s.gain[i]
			d[i] += own * (1 + g) * gain
		}
		if own*(1+g)*(m+gain) >= b.huge {
			d[i] = math.Inf(1) // a partial sum may overflow in one order and not in another
		}
	}
	return d
}

// foldedBound is the bound of a BatchNormalization of the linear node source,
// where the second model has the two in one.
//
// Exactly, y = s(Kx + b − m) + β with s = γ/√(v+ε). The CNN computes z = Kx + b
// with an error of at most γ_{n+2}(|K||x| + |b|), then s in three operations, and
// z·s + (β − m·s) or (z − m)·s + β in three more: in all no term has seen more
// than n+8 roundings. The eFCN has the entries K·s and the bias (b−m)s + β
// rounded to float32 once (besides some roundings in float64 that one more
// operation covers), and adds up n products and the bias: at most n+4. Both are
// thus within γ_{n+8}·M of y, M = |s|(|K||x| + |b| + |m|) + |β|, and
// d_y = (1+γ)|s||K|d_x + 2γ_{n+8}·M. An entry that underflows when it is rounded
// may lose 2⁻¹⁵⁰ each, which adds n·2⁻¹⁵⁰·max|x|.
func (b *bounds) foldedBound(s *sum, norm *batchNorm, shape []int) []float64 {
	g := b.gamma(s.terms+8) + b.parameters
	under := 2 * float64(s.terms) * (b.tiny + 0x1p-150*s.most)
	d := make([]float64, len(s.magnitude))
	eachChannel(shape, func(c, i int) {
		scale := math.Abs(norm.scale[c])
		m := scale*(s.magnitude[i]+math.Abs(norm.mean[c])) + math.Abs(norm.beta[c])
		d[i] = own*2*g*m + under*math.Max(1, scale)
		gain := 0.0
		if s.gain != nil {
			gain = scale * s.gain[i]
			d[i] += own * (1 + g) * gain
		}
		if own*(1+g)*(m+gain) >= b.huge || own*(1+g)*s.magnitude[i] >= b.huge {
			d[i] = math.Inf(1)
		}
	})
	return d
}

// eachChannel calls f with the channel and index of every element of a value.
func eachChannel(shape []int, f func(channel, i int)) {
	channels, inner := 1, 1
	if len(shape) > 1 {
		channels, inner = shape[1], product(shape[2:])
	}
	for i := range product(shape) {
		f(i/inner%channels, i)
	}
}

// normOf reads a BatchNormalization node. Its parameters may be computed where
// both models have them alike, to the bit: the dynamo exporter of PyTorch repeats
// those of an InstanceNormalization with statistics by the batch, in a Tile.
func (b *bounds) normOf(node *onnxio.Node, channels int) (*batchNorm, error) {
	var p [4][]float64
	for i := range p {
		name := node.Input(i + 1)
		if b.net.constants[name] != nil {
			v, _, _, err := b.net.floats(node, i+1)
			if err != nil {
				return nil, err
			}
			p[i] = doubles(v)
			continue
		}
		d, err := b.of(name)
		if err != nil {
			return nil, err
		}
		v, err := b.value(name)
		if err != nil {
			return nil, err
		}
		if d != nil || v == nil {
			return nil, fmt.Errorf("input %d (%q) is computed at run time, with rounding errors", i+1, name)
		}
		p[i] = v.F
	}
	return newBatchNorm(node, channels, p)
}

// normBound is the bound of a BatchNormalization: foldedBound with the identity
// for K. The second model has it as it is, or as Mul and Add.
func (b *bounds) normBound(node *onnxio.Node, d []float64) ([]float64, error) {
	source := b.net.producer[node.Input(0)]
	x := b.values.header(node.Output(0))
	if x == nil {
		return nil, fmt.Errorf("value %q was not computed", node.Output(0))
	}
	channels := 1
	if len(x.Shape) > 1 {
		channels = x.Shape[1]
	}
	norm, err := b.normOf(node, channels)
	if err != nil {
		return nil, err
	}
	if isOp(source, "Conv", "Gemm", "MatMul", "ConvTranspose") && b.net.isLinear(source) && b.hidden(node.Input(0)) {
		ds, _, err := b.inputs(source)
		if err != nil {
			return nil, err
		}
		s, err := b.linear(source, ds)
		if err != nil {
			return nil, err
		}
		return b.foldedBound(s, norm, x.Shape), nil
	}
	in, err := b.magnitude(node.Input(0))
	if err != nil {
		return nil, err
	}
	s := &sum{magnitude: in.F, gain: d, terms: 1}
	for _, v := range in.F {
		s.most = math.Max(s.most, v)
	}
	return b.foldedBound(s, norm, x.Shape), nil
}
