package convert

import (
	"encoding/binary"
	"io"

	"efcn/onnxio"
)

// gemm puts a linear layer into the eFCN as one Gemm with the matrix weight
// [out, in], which is in the graph already.
func (b *builder) gemm(n *onnxio.Node, l *Layer, weight string) {
	rec := l.Layer
	x := b.vec(n.Input(0))
	rec.Weight = weight
	inputs := []string{x, rec.Weight}
	if l.weights.HasBias() || b.plan.model.Opset("") < 11 { // Gemm's C is required before opset 11
		rec.Bias = b.tensor(l.bias())
		inputs = append(inputs, rec.Bias)
	}
	b.node(&onnxio.Node{
		Name: b.nodeName(n), OpType: "Gemm",
		Inputs: inputs, Outputs: []string{b.newVec(l.Output)},
		Attributes: []*onnxio.Attribute{onnxio.IntAttr("transB", 1)},
		Metadata:   n.Metadata,
	})
	b.record.Layers = append(b.record.Layers, rec)
}

// bias returns the bias of a layer, zeros if it has none. It is made when it is
// written.
func (l *Layer) bias() *onnxio.Tensor {
	return &onnxio.Tensor{
		Name: l.Node + ".bias", Type: onnxio.Float32, Dims: []int64{l.Rows},
		Data: onnxio.Generate(4*l.Rows, func(w io.Writer) error {
			bias := l.weights.BiasVector()
			if bias == nil {
				bias = make([]float32, l.Rows)
			}
			return binary.Write(w, binary.LittleEndian, bias)
		}),
	}
}

// dense puts a linear layer into the eFCN with a dense matrix.
func (b *builder) dense(n *onnxio.Node, l *Layer) {
	b.gemm(n, l, b.tensor(&onnxio.Tensor{
		Name: l.Node + ".weight", Type: onnxio.Float32,
		Dims: []int64{l.Rows, l.Cols},
		Data: onnxio.Generate(l.DenseBytes(), l.weights.WriteDense),
	}))
}
