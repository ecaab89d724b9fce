package restore

import (
	"efcn/convert/affine"
	"efcn/convert/record"
	"efcn/onnxio"
)

func init() { operations["MatMul"] = operation{of: matMul} }

func matMul(l *record.Layer, m *affine.Map, _ *onnxio.Node, _ int64) (*onnxio.Tensor, bool, error) {
	if hasBias(m) {
		return nil, false, nil
	}
	kernel := m.Kernel
	if !l.FactorFirst {
		kernel = affine.Transposed(kernel, m.OutChannels/m.Groups, m.InChannels/m.Groups)
	}
	return onnxio.NewTensor(l.Weight, l.FactorShape, kernel), true, nil
}
