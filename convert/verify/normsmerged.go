package verify

import (
	"errors"
	"math"

	"efcn/onnxio"
)

// mergedError is the relative error, in each term, of weights and biases that a BatchNormalization was
// multiplied into in single precision: v + ε, its root, the quotient, the product and the sum, each
// rounded, and the one rounding of what they are compared with.
const mergedError = 8 * 0x1p-24

// quantizationBeside is quantizationOf of the first model as it is or, if something else stands in its
// place in the second, with its BatchNormalizations multiplied into what is in front of them, as
// preprocessing leaves a model. It returns the first model that the second is a quantization of. inputs
// are the shapes given for its inputs.
func quantizationBeside(a, b *net, raw *onnxio.Model, f *signature, inputs map[string][]int64) (*quantization, *net,
	error,
) {
	q, err := quantizationOf(a, b, raw, f, nil)
	if _, ok := errors.AsType[*PairingError](err); !ok {
		return q, a, err
	}
	merged, slack, errMerging := a.withNormsMerged(inputs)
	if merged == nil || errMerging != nil {
		return nil, a, err
	}
	if q, errMerged := quantizationOf(merged, b, raw, f, slack); errMerged == nil {
		return q, merged, nil
	}
	return nil, a, err
}

// withNormsMerged returns a model with each BatchNormalization behind a linear node multiplied into
// that, and rounded once to float32; nil if there is none. slack is how far the same numbers may be off
// that were computed in single precision, by name of the constant.
func (n *net) withNormsMerged(inputs map[string][]int64) (merged *net, slack map[string][]float64, err error) {
	m := n.model.Clone()
	r := &rounder{cnn: n, out: m.Graph}
	m.Graph.Nodes, slack = nil, make(map[string][]float64)
	in := make(map[*onnxio.Node]bool)
	for _, node := range n.graph.Nodes {
		bn := n.SoleReader(node.Output(0))
		switch {
		case in[node]:
		case bn != nil && operatorOf(bn).normalization != nil && bn.Input(0) == node.Output(0) && !normalisesByBatch(bn) &&
			operatorOf(node).channelOf != nil && n.isLinear(node):
			in[bn] = true
			if err := r.fold(node, bn); err != nil {
				return nil, nil, node.Wrap(err)
			}
			if err := n.slackOfMerged(node, bn, m.Graph.Nodes[len(m.Graph.Nodes)-1], m.Graph, slack); err != nil {
				return nil, nil, node.Wrap(err)
			}
		default:
			m.Graph.Nodes = append(m.Graph.Nodes, node)
		}
	}
	if len(in) == 0 {
		return nil, nil, nil
	}
	if merged, err = newNet(m); err == nil {
		merged, err = merged.settled(inputs)
	}
	return merged, slack, err
}

// slackOfMerged fills in slack for the weights and the bias of to, which is node and bn in one.
func (n *net) slackOfMerged(node, bn, to *onnxio.Node, g *onnxio.Graph, slack map[string][]float64) error {
	weights, err := onnxio.Floats[float64](g.Initializer(to.Input(1)))
	if err != nil {
		return err
	}
	for i, w := range weights {
		weights[i] = mergedError * math.Abs(w)
	}
	slack[to.Input(1)] = weights
	bias, _, _, err := n.floats(node, 2)
	if err != nil {
		return err
	}
	channels := int(g.Initializer(to.Input(2)).Dims[0])
	norm, err := n.batchNormOf(bn, channels)
	if err != nil {
		return err
	}
	shift := make([]float64, channels)
	for c := range shift {
		b := 0.0
		if bias != nil {
			b = float64(bias[c%len(bias)])
		}
		s := norm.scale[c]
		shift[c] = mergedError * (math.Abs(b*s) + math.Abs(norm.mean[c]*s) + math.Abs(norm.beta[c]))
	}
	slack[to.Input(2)] = shift
	return nil
}
