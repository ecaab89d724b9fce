package verify

import (
	"fmt"
	"math"
	"slices"

	"efcn/internal/engine"
	"efcn/onnxio"
)

// https://onnx.ai/onnx/operators/onnx__BatchNormalization.html
func init() {
	register(operator{
		name: "BatchNormalization", rounds: batchNormRounds, anyEngine: true, magnitudes: batchNormMagnitudes,
		diagonal: batchNormDiagonal, normalization: (*net).batchNormOf,
		defaults: always(spelling{"epsilon": "1e-05", "momentum": "0.9", "training_mode": "0", "spatial": "1"}),
	})
}

// batchNormRounds bounds a BatchNormalization; of one that takes statistics from its input,
// or whose parameters differ, nothing is known.
func batchNormRounds(b *bounds, node *onnxio.Node, ds [][]float64,
	differs bool,
) (out [][]float64, done bool, err error) {
	read := 1
	if b.quant != nil {
		read = 3 // that scale and bias are other numbers is bounded: see storedNorm
	}
	others, err := b.beyondRounding(node.Inputs[read:], ds[read:])
	if err != nil {
		return nil, true, err
	}
	if normalisesByBatch(node) || others {
		if !differs {
			return nil, true, nil
		}
		return b.unknown(node), true, nil
	}
	d, err := b.normBound(node, ds[0])
	return [][]float64{d}, true, err
}

func batchNormMagnitudes(b *bounds, node *onnxio.Node, x *engine.Tensor[float64]) (*engine.Tensor[float64], error) {
	norm, err := b.net.batchNormOf(node, x.Shape[1])
	if err != nil {
		return nil, err
	}
	out := like(x, make([]float64, len(x.F)))
	eachChannel(x.Shape, func(c, i int) {
		out.F[i] = math.Abs(norm.scale[c])*(x.F[i]+math.Abs(norm.mean[c])) + math.Abs(norm.beta[c])
	})
	return out, nil
}

// batchNormDiagonal is a BatchNormalization at inference.
func batchNormDiagonal(n *net, node *onnxio.Node, _ int, shape []int) (*diagonal, error) {
	if len(shape) < 2 {
		return nil, errNotLinear
	}
	norm, err := n.batchNormOf(node, shape[1])
	if err != nil {
		return nil, err
	}
	per := max(1, product(shape[2:]))
	return &diagonal{
		scale: func(r int, v float64) float64 { return v * norm.scale[r/per] },
		shift: func(r int) float64 { return norm.beta[r/per] - norm.mean[r/per]*norm.scale[r/per] },
	}, nil
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
		// Either the weights are rounded or their products with s, and so is what a node of
		// the weights alone computes.
		relative, absolute := b.weights(s, i)
		stored := own * (1 + g) * (2*scale*relative + math.Max(1, scale)*absolute)
		if b.narrow != nil {
			d[i] += stored + (1+g)*b.normStored(norm, c, (s.magnitude[i]+s.gainAt(i))*(1+2*b.narrow.unit)+2*absolute)
		}
		if own*(1+g)*(m+gain) >= b.huge || own*(1+g)*s.magnitude[i] >= b.huge {
			d[i] = math.Inf(1)
		}
	})
	return d
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
		if v == nil || b.exceeds(d, v.F) {
			return nil, fmt.Errorf("input %d (%q) is computed at run time, with rounding errors", i+1, name)
		}
		p[i] = v.F
	}
	return newBatchNorm(node, channels, p)
}

// normBound is the bound of a BatchNormalization: foldedBound with the identity
// for K. The second model has it as it is, or as Mul and Add.
func (b *bounds) normBound(node *onnxio.Node, d []float64) ([]float64, error) {
	source := b.net.Producer(node.Input(0))
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
	if operatorOf(source).weighted && b.net.isLinear(source) && b.hidden(node.Input(0)) {
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
	bound := b.foldedBound(s, norm, x.Shape)
	b.storedNorm(node, norm, in.F, bound, d)
	return bound, nil
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

// batchNorm is a BatchNormalization at inference, by channel, in float64.
type batchNorm struct {
	scale, mean, beta []float64
	// What the scale is made of: gamma/√variance, with epsilon in the variance.
	gamma, variance []float64
	epsilon         float64
}

// shift returns (b−mean)·scale + beta for a channel and how far it may be off.
func (n *batchNorm) shift(o int, b float64) (value, slack float64) {
	// The conversions keep a compiler from fusing the product and the sum.
	value = float64((b-n.mean[o])*n.scale[o]) + n.beta[o]
	slack = 8 * 0x1p-53 * (math.Abs(b*n.scale[o]) + math.Abs(n.mean[o]*n.scale[o]) + math.Abs(n.beta[o]))
	return value, slack
}

// normalisesByBatch reports whether a BatchNormalization takes mean and variance from
// its input, as in training.
// https://onnx.ai/onnx/operators/onnx__BatchNormalization.html
func normalisesByBatch(node *onnxio.Node) bool {
	if mode, err := node.Int("training_mode", 0); err != nil || mode != 0 {
		return true
	}
	return slices.ContainsFunc(node.Outputs[1:], func(name string) bool { return name != "" })
}

// batchNormOf reads a BatchNormalization node of the CNN that has channels
// channels.
func (n *net) batchNormOf(node *onnxio.Node, channels int) (*batchNorm, error) {
	var p [4][]float64
	for i := range p {
		v, _, _, err := n.floats(node, i+1)
		if err != nil {
			return nil, err
		}
		p[i] = doubles(v)
	}
	return newBatchNorm(node, channels, p)
}

// newBatchNorm returns a BatchNormalization node of channels channels with the
// scale, bias, mean and variance given.
func newBatchNorm(node *onnxio.Node, channels int, p [4][]float64) (*batchNorm, error) {
	epsilon, err := node.Float("epsilon", 1e-5)
	if err != nil {
		return nil, err
	}
	for i, v := range p {
		if len(v) != channels {
			return nil, fmt.Errorf("input %d: want %d values, one a channel, got %d", i+1, channels, len(v))
		}
	}
	b := &batchNorm{beta: p[1], mean: p[2], gamma: p[0], epsilon: float64(epsilon)}
	for c := range channels {
		b.variance = append(b.variance, p[3][c]+float64(epsilon))
		b.scale = append(b.scale, p[0][c]/math.Sqrt(b.variance[c]))
	}
	return b, nil
}
