package restore

import (
	"math"
	"slices"

	"efcn/convert/affine"
	"efcn/convert/record"
	"efcn/onnxio"
)

func init() {
	operations["ReduceMean"] = operation{of: reduction, dims: reducedDims}
	operations["ReduceSum"] = operation{of: reduction, dims: reducedDims}
}

// reduction is the reduction itself, which keeps the axes that it reduces, or a Conv
// over the whole of them: each channel that is read has a coefficient, which is in
// every place.
func reduction(l *record.Layer, m *affine.Map, n *onnxio.Node, opset int64) (*onnxio.Tensor, bool, error) {
	if reducesAs(l, m) {
		return reducedAxes(l, n, opset), true, nil
	}
	window := slices.Repeat([]int64{1}, len(l.InputShape)-1)
	for _, a := range l.ReducedAxes() {
		if a > 0 {
			window[a-1] = l.InputShape[a]
		}
	}
	if len(window) == 0 {
		return nil, false, nil
	}
	var kernel []float32
	for _, k := range m.Kernel {
		kernel = append(kernel, slices.Repeat([]float32{k}, int(affine.Size(window)))...)
	}
	return convolve(l, m, n, nil, kernel, window), true, nil
}

// reducedDims is the input shape with the axes that are reduced at 1.
func reducedDims(l *record.Layer) []int64 {
	dims := slices.Clone(l.InputShape)
	for _, a := range l.ReducedAxes() {
		dims[a] = 1
	}
	return dims
}

// reducesAs reports whether m has the coefficients that the reduction has, bit for
// bit, and no bias.
func reducesAs(l *record.Layer, m *affine.Map) bool {
	want := float32(1)
	if l.Op == "ReduceMean" {
		cells := 1
		for _, a := range l.ReducedAxes() {
			cells *= int(l.InputShape[a])
		}
		want = float32(1 / float64(cells))
	}
	other := func(k float32) bool { return math.Float32bits(k) != math.Float32bits(want) }
	return !slices.ContainsFunc(m.Kernel, other) && !hasBias(m)
}

// reducedAxes gives the node the axes that it reduces, or returns them where they are
// an input of it.
func reducedAxes(l *record.Layer, n *onnxio.Node, opset int64) *onnxio.Tensor {
	axes := slices.Clone(l.ReducedAxes())
	for i := range axes {
		axes[i]++ // the batch
	}
	schema, ok := onnxio.LookupOp("", l.Op, opset)
	if ok {
		_, ok = schema.Attribute("axes")
	}
	if ok {
		n.Attributes = []*onnxio.Attribute{onnxio.IntsAttr("axes", axes...)}
		return nil
	}
	return onnxio.NewTensor(l.Node+".axes", []int64{int64(len(axes))}, axes)
}
