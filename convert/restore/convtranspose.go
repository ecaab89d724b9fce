package restore

import (
	"fmt"
	"slices"

	"efcn/convert/affine"
	"efcn/convert/record"
	"efcn/onnxio"
	"efcn/onnxio/shape"
)

func init() { operations["ConvTranspose"] = operation{of: convTranspose} }

func convTranspose(l *record.Layer, m *affine.Map, n *onnxio.Node, _ int64) (*onnxio.Tensor, bool, error) {
	attributes, err := transposedAttributes(l)
	if err != nil {
		return nil, false, err
	}
	n.Attributes = append(attributes, onnxio.IntAttr("group", l.Group))
	return weights(l, inputFirst(m), int64(m.InChannels), int64(m.OutChannels/m.Groups), l.KernelShape), true, nil
}

// transposedAttributes are those of a ConvTranspose: what the output has past
// the last tap is its output_padding, or its output_shape where that is too
// much for one.
func transposedAttributes(l *record.Layer) ([]*onnxio.Attribute, error) {
	axes := len(l.KernelShape)
	extra, fits := make([]int64, axes), true
	for i := range extra {
		full := l.Strides[i]*(l.InputShape[i+1]-1) + (l.KernelShape[i]-1)*l.Dilations[i] + 1
		extra[i] = l.OutputShape[i+1] - (full - l.Pads[i] - l.Pads[axes+i])
		fits = fits && extra[i] >= 0 && extra[i] < max(l.Strides[i], l.Dilations[i])
	}
	if fits {
		attrs := windowAttributes(l)
		if slices.ContainsFunc(extra, func(v int64) bool { return v != 0 }) {
			attrs = append(attrs, onnxio.IntsAttr("output_padding", extra...))
		}
		return attrs, nil
	}
	// Then the CNN gave the output's shape, and the pads follow from it.
	for _, mode := range []string{"NOTSET", "SAME_UPPER"} {
		n := &onnxio.Node{OpType: "ConvTranspose", Attributes: []*onnxio.Attribute{
			onnxio.StringAttr("auto_pad", mode),
			onnxio.IntsAttr("dilations", l.Dilations...),
			onnxio.IntsAttr("kernel_shape", l.KernelShape...),
			onnxio.IntsAttr("output_shape", l.OutputShape[1:]...),
			onnxio.IntsAttr("strides", l.Strides...),
		}}
		w, err := shape.ConvTransposeWindow(n, slices.Concat([]int64{1}, l.InputShape), slices.Concat([]int64{1, 1},
			l.KernelShape))
		if err == nil && slices.Equal(slices.Concat(w.PadBegin, w.PadEnd), l.Pads) {
			return n.Attributes, nil
		}
	}
	return nil, fmt.Errorf("record: no attributes of a ConvTranspose give pads %v and output %v", l.Pads, l.OutputShape)
}

// inputFirst lays a kernel out as ConvTranspose has it, [in, out a group, k…]:
// the inverse of outputFirst.
func inputFirst(m *affine.Map) []float32 {
	outPerGroup, inPerGroup, k := m.OutChannels/m.Groups, m.InChannels/m.Groups, m.Taps.Coefs
	w := make([]float32, len(m.Kernel))
	for c := range m.InChannels {
		for o := range outPerGroup {
			out, in := c/inPerGroup*outPerGroup+o, c%inPerGroup
			copy(w[(c*outPerGroup+o)*k:][:k], m.Kernel[(out*inPerGroup+in)*k:][:k])
		}
	}
	return w
}
