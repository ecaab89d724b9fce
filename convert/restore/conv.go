package restore

import (
	"efcn/convert/affine"
	"efcn/convert/record"
	"efcn/onnxio"
)

func init() { operations["Conv"] = operation{of: conv} }

func conv(l *record.Layer, m *affine.Map, n *onnxio.Node, _ int64) (*onnxio.Tensor, bool, error) {
	return convolve(l, m, n, windowAttributes(l), m.Kernel, l.KernelShape), true, nil
}

// convolve makes n a Conv with attributes and the groups of m, and returns its weights
// of that kernel shape.
func convolve(l *record.Layer, m *affine.Map, n *onnxio.Node, attributes []*onnxio.Attribute, kernel []float32,
	shape []int64,
) *onnxio.Tensor {
	n.OpType, n.Attributes = "Conv", append(attributes, onnxio.IntAttr("group", int64(m.Groups)))
	return weights(l, kernel, int64(m.OutChannels), int64(m.InChannels/m.Groups), shape)
}

// takesBias reports whether a node has an input for a bias: convolutions do.
func takesBias(n *onnxio.Node) bool { return n.OpType == "Conv" || n.OpType == "ConvTranspose" }

func weights(l *record.Layer, kernel []float32, first, second int64, kernelShape []int64) *onnxio.Tensor {
	return onnxio.NewTensor(l.Weight, append([]int64{first, second}, kernelShape...), kernel)
}

// windowAttributes are those that convolutions and poolings have in common.
func windowAttributes(l *record.Layer) []*onnxio.Attribute {
	return []*onnxio.Attribute{
		onnxio.IntsAttr("dilations", l.Dilations...),
		onnxio.IntsAttr("kernel_shape", l.KernelShape...),
		onnxio.IntsAttr("pads", l.Pads...),
		onnxio.IntsAttr("strides", l.Strides...),
	}
}
