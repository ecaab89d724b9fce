package convert

import (
	"cmp"
	"slices"

	"efcn/convert/record"
	"efcn/onnxio"
)

// Coverage says how many of the linear layers of the CNN were embedded. They are
// the nodes that an output depends on
//
//   - of Conv, ConvTranspose, AveragePool, GlobalAveragePool, ReduceMean and ReduceSum;
//   - of Resize and Upsample, linear or cubic;
//   - of Gemm, MatMul and Einsum of which an operand is a constant;
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

// linearOps says of which operators, by their qualified names, each node is a
// linear layer, and of which those are that have a constant operand.
var linearOps = map[string]bool{
	"Conv": false, "ConvTranspose": false, "AveragePool": false, "GlobalAveragePool": false, "ReduceMean": false, "ReduceSum": false,
	"Resize": false, "Upsample": false,
	"QLinearConv": false, "ConvInteger": false,
	"Gemm": true, "MatMul": true, "Einsum": true, "QLinearMatMul": true, "MatMulInteger": true,
	"com.microsoft.FusedConv": false, "com.microsoft.NhwcConv": false, "com.microsoft.NhwcFusedConv": false, "com.microsoft.QLinearAveragePool": false, "com.microsoft.QLinearGlobalAveragePool": false,
	"com.microsoft.FusedGemm": true, "com.microsoft.FusedMatMul": true, "com.microsoft.TransposeMatMul": true, "com.microsoft.QGemm": true, "com.microsoft.MatMulNBits": false,
}

// realOps are the linear operators that take integers as well, and are linear
// layers on real numbers alone.
var realOps = []string{"ReduceMean", "ReduceSum", "Gemm", "MatMul", "Einsum"}

// isLinearLayer says whether a node of the CNN is counted as a linear layer.
func (p *Plan) isLinearLayer(n *onnxio.Node, constants map[string]*onnxio.Tensor) bool {
	ofConstant, ok := linearOps[n.QualifiedOp()]
	if !ok {
		return false
	}
	if n.OpType == "Resize" || n.OpType == "Upsample" {
		mode, err := n.String("mode", "nearest")
		return err == nil && mode != "nearest"
	}
	if t, ok := p.typeOf(n.Output(0)); ok && t.Elem.IsInteger() && slices.Contains(realOps, n.QualifiedOp()) {
		return false
	}
	factors := n.Inputs
	if n.OpType == "Gemm" {
		factors = n.Inputs[:min(2, len(n.Inputs))] // C is added
	}
	return !ofConstant || slices.ContainsFunc(factors, func(name string) bool {
		t := constants[name]
		return t != nil && len(t.Dims) > 1 // not a scale
	})
}

// cover counts the linear layers, once the eFCN is built.
func (p *Plan) cover(b *builder) {
	p.Coverage = Coverage{NotEmbedded: []Kept{}}
	embedded := make(map[string]bool) // by what the node computes
	for _, l := range p.Layers {
		embedded[l.Source] = true
		for _, f := range l.Factors {
			embedded[f.Output] = true
		}
	}
	kept := make(map[string]Kept)
	for own, k := range b.stay {
		kept[own.Output(0)] = k
	}
	live := make(map[string]bool)
	for _, n := range b.graph.Nodes {
		for _, name := range n.Outputs {
			live[name] = true
		}
	}
	for _, n := range p.model.Graph.Nodes {
		k, stays := kept[n.Output(0)]
		switch {
		case !p.isLinearLayer(n, b.consts):
			continue
		case embedded[n.Output(0)]:
			p.Coverage.Embedded++
		case !stays || !live[n.Output(0)]: // nothing depends on it, or it is known
			continue
		case k.Why == askedToBeKept:
			p.Coverage.Asked++
		default:
			p.Coverage.NotEmbedded = append(p.Coverage.NotEmbedded, k)
		}
		p.Coverage.Linear++
	}
}

// Purpose is what an eFCN is for, which decides what the layout Auto becomes.
type Purpose string

// The purposes. Without one, Auto is dense while that is no more than 256 MiB or 32
// times what the local form takes.
const (
	// ForTraining is dense as far as the budget allows, so that all weights can be
	// trained, and local beyond.
	ForTraining Purpose = "training"
	// ForInference is the smaller of the two forms: what is not stored is not
	// multiplied either.
	ForInference Purpose = "inference"
	// ForVerifier is dense, whatever it takes: verifiers of networks know Gemm and Relu.
	ForVerifier Purpose = "verifier"
)

// Purposes lists what Options.For can be.
func Purposes() []Purpose { return []Purpose{ForTraining, ForInference, ForVerifier} }

// Without a purpose a file is dense up to the larger of these bytes and this many
// times the local form. A dense file of 2.4 GB whose local form has 24 MB takes
// 50 times as long to load, and the same outputs take 100 times the operations.
const (
	autoBytes  = 256 << 20
	autoFactor = 32
)

// Choice says what the layouts that Auto settled are, and what they could have been.
type Choice struct {
	Dense int `json:"dense"` // layers that Auto made dense
	Local int `json:"local"` // layers that Auto made local
	// The weights of the eFCN with all of these layers dense, and with all local.
	AllDense int64 `json:"all_dense_bytes"`
	AllLocal int64 `json:"all_local_bytes"`
}

// chooseLayouts gives the layers that are left to Auto their layouts. Where dense
// is too much, those with the largest saving become local until it is not.
func (p *Plan) chooseLayouts(purpose Purpose) error {
	var open []*Layer
	for _, l := range p.Layers {
		if l.weights != nil && l.Layout == record.Auto {
			l.Layout = record.Dense
			open = append(open, l)
		}
	}
	if err := p.measure(); err != nil {
		return err
	}
	open = slices.DeleteFunc(open, func(l *Layer) bool { return !slices.Contains(p.Layers, l) })
	if len(open) == 0 {
		return nil
	}
	p.Auto = &Choice{AllDense: p.WeightBytes, AllLocal: p.WeightBytes}
	for _, l := range open {
		p.Auto.AllLocal += l.LocalBytes() - l.DenseBytes()
	}
	slices.SortStableFunc(open, func(a, b *Layer) int {
		return cmp.Compare(b.DenseBytes()-b.LocalBytes(), a.DenseBytes()-a.LocalBytes())
	})
	limit, total := p.denseLimit(purpose), p.WeightBytes
	for _, l := range open {
		if total <= limit || l.LocalBytes() >= l.DenseBytes() {
			p.Auto.Dense++
			continue
		}
		total += l.LocalBytes() - l.DenseBytes()
		l.Layout = record.Local
		p.Auto.Local++
	}
	if p.Auto.Local == 0 {
		return nil
	}
	return p.measure()
}

// denseLimit is how many bytes of weights there may be before Auto becomes local.
func (p *Plan) denseLimit(purpose Purpose) int64 {
	switch purpose {
	case ForVerifier:
		return p.Auto.AllDense
	case ForInference:
		return 0
	case ForTraining:
		return p.MaxBytes
	default:
		return min(p.MaxBytes, max(autoBytes, autoFactor*p.Auto.AllLocal))
	}
}
