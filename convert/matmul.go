package convert

import (
	"errors"
	"fmt"
	"slices"

	"efcn/convert/affine"
	"efcn/onnxio"
)

func init() {
	register("MatMul", operator{
		becomes: "a matrix (Gemm); itself, where it multiplies a vector with a constant matrix",
		plan:    planMatMul, layer: withConstant,
	})
}

// planMatMul plans a product with a constant: y = x·B or y = A·x, with a matrix
// for all of the batch or one for each of the leading axes, as numpy.matmul
// broadcasts them. A batch of vectors times a matrix stays as it is.
// https://onnx.ai/onnx/operators/onnx__MatMul.html, versions 1 to 13.
func planMatMul(pl *planner, n *onnxio.Node) ([]*piece, error) {
	first := pl.consts[n.Input(0)] != nil
	if first == (pl.consts[n.Input(1)] != nil) {
		if first {
			return nil, keep("both factors are constants")
		}
		return nil, keep("both factors are computed at run time")
	}
	if first { // plan it as of its data
		n = on(n, []string{n.Inputs[1], n.Inputs[0]}, n.Outputs)
	}
	w := pl.consts[n.Input(1)]
	in, out, err := pl.linear(n)
	if err != nil {
		return nil, err
	}
	if !first && len(in.dims) == 1 && len(w.Dims) == 2 {
		return pl.vectorProduct(n, in, out, w)
	}
	m, err := affine.MatMul(in.dims, w.Dims, first)
	var no *affine.NoMapError
	if errors.As(err, &no) {
		return nil, keep("%s", no.Why)
	}
	if err != nil {
		return nil, err
	}
	if m.Rows() != out.size() {
		return nil, fmt.Errorf("N×%v and a constant of shape %v have a product of %d elements; "+
			"shape inference says N×%v", in.dims, w.Dims, m.Rows(), out.dims)
	}
	v, _, _, err := pl.floats(n, 1, "the constant factor")
	if err != nil {
		return nil, err
	}
	m.Kernel = v
	if !first {
		m.Kernel = affine.Transposed(v, m.InChannels/m.Groups, m.OutChannels/m.Groups)
	}
	rec := vectorRecord(in, out)
	rec.FactorShape, rec.FactorFirst = slices.Clone(w.Dims), first
	return pl.embed(n, m, rec, len(v), false)
}

// vectorProduct plans y = x·B with a matrix B and x a batch of vectors, which is
// a fully-connected layer already.
func (pl *planner) vectorProduct(n *onnxio.Node, in, out value, w *onnxio.Tensor) ([]*piece, error) {
	if w.Dims[0] != int64(in.size()) || w.Dims[1] != int64(out.size()) {
		return nil, fmt.Errorf("second factor: shape %v does not take %d inputs to %d outputs", w.Dims, in.size(),
			out.size())
	}
	var v []float32
	var err error
	if pl.opts.folds() {
		if v, err = onnxio.Floats[float32](w); err != nil {
			return nil, fmt.Errorf("second factor: %w", err)
		}
	}
	return pl.matrixAsIs(n, in, out, w.Name, "", in.size()*out.size(), 0, func() []affine.Factor {
		m := affine.FullyConnected(in.size(), out.size())
		m.Kernel = affine.Transposed(v, in.size(), out.size())
		return []affine.Factor{m.Factor()}
	})
}
