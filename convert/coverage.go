package convert

import (
	"slices"

	"efcn/onnxio"
)

// Coverage says how many of the linear layers of the CNN were embedded. They are
// the nodes that an output depends on
//
//   - of Conv, ConvTranspose, AveragePool, GlobalAveragePool, ReduceMean and ReduceSum;
//   - of Resize and Upsample, linear or cubic;
//   - of Gemm, MatMul and Einsum with a constant operand;
//   - of the same in another form, whatever it is stored in: QLinearConv, ConvInteger,
//     QLinearMatMul, MatMulInteger, and those of com.microsoft that a runtime's
//     optimizer makes of them.
//
// Diagonals and selections (BatchNormalization, Pad, Slice and so on) are none, nor
// are maxima, whatever they become, nor sums and products of integers, as in a count
// of pixels: no weight is in them, and their arithmetic is not that of a layer.
type Coverage struct {
	Linear   int `json:"linear_layers"` // all of them
	Embedded int `json:"embedded"`
	Asked    int `json:"kept_as_asked"` // kept because the options say so
	// NotEmbedded are the others, with the reasons.
	NotEmbedded []Kept `json:"not_embedded"`
}

// otherForms are linear layers as quantization and the optimizers of runtimes write them,
// by qualified name. The function reports whether a node counts: always, or only with a
// constant factor.
var otherForms = map[string]func(pl *planner, n *onnxio.Node) bool{
	"QLinearConv": anyNode, "ConvInteger": anyNode, "QLinearMatMul": ofConstant, "MatMulInteger": ofConstant,
	"com.microsoft.FusedConv": anyNode, "com.microsoft.NhwcConv": anyNode, "com.microsoft.NhwcFusedConv": anyNode,
	"com.microsoft.QLinearAveragePool": anyNode, "com.microsoft.QLinearGlobalAveragePool": anyNode,
	"com.microsoft.FusedGemm": ofConstant, "com.microsoft.FusedMatMul": ofConstant,
	"com.microsoft.TransposeMatMul": ofConstant, "com.microsoft.QGemm": ofConstant,
	"com.microsoft.MatMulNBits": anyNode,
}

func ofConstant(pl *planner, n *onnxio.Node) bool { return pl.hasFactor(n.Inputs) }

// hasFactor reports whether one of the inputs is a constant and no scale.
func (pl *planner) hasFactor(inputs []string) bool {
	return slices.ContainsFunc(inputs, func(name string) bool {
		t := pl.consts[name]
		return t != nil && len(t.Dims) > 1
	})
}

// isLinearLayer reports whether a node of the CNN is counted as a linear layer.
func (pl *planner) isLinearLayer(n *onnxio.Node) bool {
	layer := otherForms[n.QualifiedOp()]
	if op, ok := operatorOf(n); ok {
		layer = op.layer
	}
	return layer != nil && layer(pl, n)
}

// cover counts the linear layers.
func (pl *planner) cover() {
	p := pl.plan
	p.Coverage = Coverage{NotEmbedded: []Kept{}}
	embedded := make(map[string]bool) // by what the node computes
	stays := make(map[string]Kept)
	for _, pc := range p.live {
		if l := pc.layer; l != nil {
			embedded[l.Source] = true
			for _, f := range l.Factors {
				embedded[f.Output] = true
			}
		}
		if f, ok := pc.form.(kept); ok {
			stays[pc.node.Output(0)] = f.of(pc)
		}
	}
	for _, n := range p.model.Graph.Nodes {
		k, stays := stays[n.Output(0)]
		switch {
		case !pl.isLinearLayer(n):
			continue
		case embedded[n.Output(0)]:
			p.Coverage.Embedded++
		case !stays: // nothing depends on it, or it is known
			continue
		case k.Why == askedToBeKept:
			p.Coverage.Asked++
		default:
			p.Coverage.NotEmbedded = append(p.Coverage.NotEmbedded, k)
		}
		p.Coverage.Linear++
	}
}
