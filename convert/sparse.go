package convert

import (
	"efcn/onnxio"
)

// sparseOpset is the version of Constant that has sparse_value.
const sparseOpset = 11

// sparse puts a linear layer into the eFCN with its matrix as a sparse constant:
// the non-zeros and their linear indices, sorted. It is the value of a Constant
// node, which ONNX types as a dense tensor: a sparse initializer is typed as a
// sparse tensor, which the checker lets no Gemm take.
func (b *builder) sparse(n *onnxio.Node, l *Layer) error {
	if v := b.plan.model.Opset(""); v < sparseOpset {
		return n.Errorf("opset %d has no sparse constants (version %d has); layout local is smaller still", v, sparseOpset)
	}
	name := b.unique(l.Node + ".weight")
	b.node(onnxio.SparseConstant(b.unique(name+"/constant"), name, &onnxio.SparseTensor{
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
	return nil
}
