package verify

import (
	"math"
	"slices"

	"efcn/internal/engine"
	"efcn/onnxio"
)

// sum is a linear operator's part of a bound: the magnitudes |A||x| + |b|, the
// gain |A|d, and the most terms in a row.
type sum struct {
	magnitude, gain []float64
	terms           int
	most            float64 // the largest |x|
	// weighted claims that the entries are stored numbers; mostOf is then the largest |x| + d
	// of each sample, or of all of them.
	weighted, bias bool
	mostOf         []float64
	stored         []float64 // what the second model's weights add; nil for none: see storedBound
}

// gainAt is what element i gains from the bounds of the inputs.
func (s *sum) gainAt(i int) float64 {
	if s.gain == nil {
		return 0
	}
	return s.gain[i]
}

// isLinear reports whether a node is a linear operator that rounds.
func (n *net) isLinear(node *onnxio.Node) bool {
	op := operatorOf(node)
	if op.weighted {
		data := n.dataOf(node)
		return n.constants[node.Input(1-data)] != nil && n.constants[node.Input(data)] == nil
	}
	return op.terms != nil
}

// absolute returns a linear node with the magnitudes of its attributes for them.
func absolute(node *onnxio.Node) *onnxio.Node {
	n := *node
	n.Attributes = nil
	for _, a := range node.Attributes {
		if slices.Contains(operatorOf(node).factors, a.Name) {
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
	stored, err := b.storedBound(node, in, ds[data])
	if err != nil {
		return nil, err
	}
	x := in[data]
	out, err := b.run(absolute, in...)
	if err != nil {
		return nil, err
	}
	s := &sum{magnitude: out[0].F, stored: stored}
	for _, v := range in[data].F {
		s.most = math.Max(s.most, v)
	}
	if s.terms, err = operatorOf(node).terms(node, in, out[0]); err != nil {
		return nil, err
	}
	if s.weighted = operatorOf(node).weighted; s.weighted && b.narrow != nil {
		s.mostOf = largest(node, data, x, ds[data], out[0].Shape)
	}
	bias := len(in) > 2 && in[2] != nil
	s.bias = bias
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

// linearBound is the bound of a linear operator.
func (b *bounds) linearBound(s *sum) []float64 {
	g := b.gamma(s.terms+2) + b.parameters
	under := 2 * float64(s.terms) * b.tiny
	d := make([]float64, len(s.magnitude))
	for i, m := range s.magnitude {
		relative, absolute := b.weights(s, i)
		d[i] = own*2*g*m + under + (1+g)*(relative+absolute)
		gain := 0.0
		if s.gain != nil {
			gain = s.gain[i]
			d[i] += own * (1 + g) * gain
		}
		if s.stored != nil {
			d[i] += own * (1 + g) * s.stored[i]
		}
		if own*(1+g)*(m+gain) >= b.huge {
			d[i] = math.Inf(1) // a partial sum may overflow in one order and not in another
		}
	}
	return d
}

// largest returns the largest |x| + d of each sample of a linear node's data, of all samples
// where its output may have another first axis.
func largest(node *onnxio.Node, data int, x *engine.Tensor[float64], d []float64, out []int) []float64 {
	samples := 1
	if data == 0 && node.Attr("transA") == nil && len(x.Shape) > 1 && len(out) > 1 && x.Shape[0] == out[0] {
		samples = max(1, x.Shape[0])
	}
	most := make([]float64, samples)
	for i, v := range x.F {
		if d != nil {
			v += d[i]
		}
		s := i * samples / len(x.F)
		most[s] = math.Max(most[s], v)
	}
	return most
}

// inputsAnOutput is how many terms an output has where every input counts for one output.
func inputsAnOutput(_ *onnxio.Node, in []*engine.Tensor[float64], out *engine.Tensor[float64]) (int, error) {
	return product(in[0].Shape) / max(1, product(out.Shape)), nil
}
