package convert

import (
	"efcn/convert/layout"
	"efcn/onnxio"
)

// local puts a linear layer into the eFCN in local form.
func (b *builder) local(n *onnxio.Node, l *Layer) {
	b.record.Layers = append(b.record.Layers, b.Local(b.inLocalForm(n, l)))
}

// inLocalForm is what the local form of a layer is made of.
func (b *builder) inLocalForm(n *onnxio.Node, l *Layer) layout.Layer {
	local := l.weights.Local()
	f := layout.Layer{
		Record: l.Layer, Name: b.nodeName(n), Metadata: n.Metadata, Input: b.vec(n.Input(0)),
		Output: func() string { return b.newVec(l.Output) },
		Form:   local, Weights: onnxio.Generate(local.Shape().Bytes(), local.WriteWeights),
	}
	if l.weights.HasBias() {
		f.Bias = func() string { return b.Tensor(l.bias()) }
	}
	return f
}
