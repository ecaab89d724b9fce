package convert

import (
	"encoding/binary"
	"io"
	"slices"

	"efcn/convert/record"
	"efcn/onnxio"
)

// matrix is a linear layer in the layout that it has in the plan.
type matrix struct {
	takesScale bool // a BatchNormalization may be multiplied in
}

func (matrix) build(b *builder, p *piece) {
	switch p.layer.Layout {
	case record.Sparse:
		b.sparse(p.node, p.layer)
	case record.Local:
		b.local(p.node, p.layer)
	case record.Factored:
		b.factored(p.node, p.layer)
	default:
		b.dense(p.node, p.layer)
	}
}

func (matrix) weigh(s *sizes, p *piece) {
	l := p.layer
	bias := l.weights.HasBias()
	switch l.Layout {
	case record.Sparse:
		s.matrices += l.SparseBytes()
		s.loaded += l.DenseBytes() - l.SparseBytes()
	case record.Local:
		s.local(l)
	case record.Factored:
		s.local(l)
		s.matrices += l.factorBytes()
	default:
		s.matrices += l.DenseBytes()
	}
	if bias || !l.Layout.LocalForm() && s.plan.needsBias() {
		s.other += 4 * l.Rows
	}
	s.kernels += 4 * l.CNNParameters
	s.buffers = max(s.buffers, l.chunk())
	s.vec(p.writes[0])
}

// checkLayouts reports a layer that cannot have the layout that it was given.
func (p *Plan) checkLayouts() error {
	for _, pc := range p.live {
		if pc.layer == nil || pc.layer.weights == nil {
			continue
		}
		layout := pc.layer.Layout
		if !slices.Contains([]record.Layout{record.Dense, record.Sparse, record.Local, record.Factored}, layout) {
			return pc.node.Errorf("layout %q: want one of %q", layout, record.Layouts())
		}
		if layout == record.Sparse && !p.has("Constant", "sparse_value") {
			return pc.node.Errorf("opset %d has no sparse constants; layout local is smaller still", p.model.Opset(""))
		}
		if layout == record.Factored && p.needsBias() {
			return pc.node.Errorf("opset %d: layout factored needs a Gemm of two inputs, which is there from opset 11 on; "+
				"convert the model with onnx.version_converter", p.model.Opset(""))
		}
	}
	return nil
}

// dense puts a linear layer into the eFCN with a dense matrix.
func (b *builder) dense(n *onnxio.Node, l *Layer) {
	b.gemm(n, l, b.Tensor(&onnxio.Tensor{
		Name: l.Node + ".weight", Type: onnxio.Float32,
		Dims: []int64{l.Rows, l.Cols},
		Data: onnxio.Generate(l.DenseBytes(), l.weights.WriteDense),
	}))
}

// sparse puts a linear layer into the eFCN with its matrix as a sparse constant:
// the non-zeros and their linear indices, sorted. It is the value of a Constant
// node, which ONNX types as a dense tensor: a sparse initializer is typed as a
// sparse tensor, which the checker lets no Gemm take.
func (b *builder) sparse(n *onnxio.Node, l *Layer) {
	name := b.Names.Free(l.Node + ".weight")
	b.Node(onnxio.SparseConstant(b.Names.Free(name+"/constant"), name, &onnxio.SparseTensor{
		Dims: []int64{l.Rows, l.Cols},
		Values: &onnxio.Tensor{
			Name: name, Type: onnxio.Float32, Dims: []int64{l.NonZeros},
			Data: onnxio.Generate(4*l.NonZeros, l.weights.WriteValues),
		},
		Indices: &onnxio.Tensor{
			Name: name + ".indices", Type: onnxio.Int64, Dims: []int64{l.NonZeros},
			Data: onnxio.Generate(8*l.NonZeros, l.weights.WriteIndices),
		},
	}))
	b.gemm(n, l, name)
}

// gemm puts a linear layer into the eFCN as one Gemm with the matrix weight
// [out, in], which is in the graph already.
func (b *builder) gemm(n *onnxio.Node, l *Layer, weight string) {
	rec := l.Layer
	x := b.vec(n.Input(0))
	rec.Weight = weight
	inputs := []string{x, rec.Weight}
	if l.weights.HasBias() || b.plan.needsBias() {
		rec.Bias = b.Tensor(l.bias())
		inputs = append(inputs, rec.Bias)
	}
	b.Node(&onnxio.Node{
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
