package restore

import (
	"fmt"
	"math"
	"slices"

	"efcn/convert/affine"
	"efcn/convert/record"
	"efcn/onnxio"
	"efcn/onnxio/shape"
)

// operatorOf returns the node, without inputs and outputs, that computes the
// projection m of the layer, and its weights: none for a pooling. The node is
// nil if no single operator does.
func operatorOf(l *record.Layer, m *affine.Map, opset int64) (*onnxio.Node, *onnxio.Tensor, error) {
	n := &onnxio.Node{Name: l.Node, OpType: l.Op}
	if l.Node == l.Source { // it had no name of its own
		n.Name = ""
	}
	switch l.Op {
	case "Conv":
		n.Attributes = append(windowAttributes(l), onnxio.IntAttr("group", l.Group))
		return n, weights(l, m.Kernel, int64(m.OutChannels), int64(m.InChannels/m.Groups), l.KernelShape), nil
	case "ConvTranspose":
		extra, err := transposedAttributes(l)
		if err != nil {
			return nil, nil, err
		}
		n.Attributes = append(extra, onnxio.IntAttr("group", l.Group))
		return n, weights(l, inputFirst(m), int64(m.InChannels), int64(m.OutChannels/m.Groups), l.KernelShape), nil
	case "AveragePool":
		ws, err := l.Windows()
		if err != nil {
			return nil, nil, err
		}
		taps, divisors := affine.AverageTaps(ws, l.CountIncludePad)
		if isAverage(m, divisors) {
			n.Attributes = poolAttributes(l)
			return n, nil, nil
		}
		if class, ok := onlyDivisor(taps, divisors); ok {
			n.OpType, n.Attributes = "Conv", append(paddedAttributes(l), onnxio.IntAttr("group", int64(m.Groups)))
			return n, weights(l, spread(m, class, int(affine.Size(l.KernelShape))), int64(m.OutChannels), 1, l.KernelShape), nil
		}
		return nil, nil, nil
	case "ReduceMean", "ReduceSum":
		if reducesAs(l, m) {
			return reduceNode(l, n, opset)
		}
		// Each channel that is read has a coefficient; a convolution over the whole
		// of the reduced axes has it in every place.
		window := slices.Repeat([]int64{1}, len(l.InputShape)-1)
		for _, a := range l.ReducedAxes() {
			if a > 0 {
				window[a-1] = l.InputShape[a]
			}
		}
		if len(window) == 0 {
			return nil, nil, nil
		}
		var kernel []float32
		for _, k := range m.Kernel {
			kernel = append(kernel, slices.Repeat([]float32{k}, int(affine.Size(window)))...)
		}
		n.OpType, n.Attributes = "Conv", []*onnxio.Attribute{onnxio.IntAttr("group", int64(m.Groups))}
		return n, weights(l, kernel, int64(m.OutChannels), int64(m.InChannels/m.Groups), window), nil
	case "MatMul":
		if slices.ContainsFunc(m.Bias, func(b float32) bool { return b != 0 }) {
			return nil, nil, nil
		}
		kernel := m.Kernel
		if !l.FactorFirst {
			kernel = affine.Transposed(kernel, m.OutChannels/m.Groups, m.InChannels/m.Groups)
		}
		return n, onnxio.NewTensor(l.Weight, l.FactorShape, kernel), nil
	default: // an average of all positions
		if isAverage(m, []int{m.Taps.In}) {
			n.OpType = "GlobalAveragePool"
			return n, nil, nil
		}
		n.OpType, n.Attributes = "Conv", []*onnxio.Attribute{onnxio.IntAttr("group", int64(m.Groups))}
		return n, weights(l, spread(m, 0, m.Taps.In), int64(m.OutChannels), 1, l.InputShape[1:]), nil
	}
}

// reducesAs says whether m has the coefficients that the reduction has, bit for
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
	return !slices.ContainsFunc(m.Kernel, other) && !slices.ContainsFunc(m.Bias, func(b float32) bool { return b != 0 })
}

// reduceNode completes the node of a reduction, which keeps the axes that it
// reduces, and returns them where they are an input of it.
func reduceNode(l *record.Layer, n *onnxio.Node, opset int64) (*onnxio.Node, *onnxio.Tensor, error) {
	axes := slices.Clone(l.ReducedAxes())
	for i := range axes {
		axes[i]++ // the batch
	}
	since := map[string]int64{"ReduceMean": 18, "ReduceSum": 13}[l.Op]
	if opset < since {
		n.Attributes = []*onnxio.Attribute{onnxio.IntsAttr("axes", axes...)}
		return n, nil, nil
	}
	return n, onnxio.NewTensor(l.Node+".axes", []int64{int64(len(axes))}, axes), nil
}

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

// paddedAttributes are those of a convolution that has the windows of a pooling
// whose last may reach past the padding (ceil_mode): the padding is larger.
func paddedAttributes(l *record.Layer) []*onnxio.Attribute {
	padded := *l
	padded.Pads = slices.Clone(l.Pads)
	axes := len(l.KernelShape)
	for i := range axes {
		reach := (l.OutputShape[i+1]-1)*l.Strides[i] + (l.KernelShape[i]-1)*l.Dilations[i] + 1
		padded.Pads[axes+i] = max(l.Pads[axes+i], reach-l.InputShape[i+1]-l.Pads[i])
	}
	return windowAttributes(&padded)
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
		w, err := shape.ConvTransposeWindow(n, slices.Concat([]int64{1}, l.InputShape), slices.Concat([]int64{1, 1}, l.KernelShape))
		if err == nil && slices.Equal(slices.Concat(w.PadBegin, w.PadEnd), l.Pads) {
			return n.Attributes, nil
		}
	}
	return nil, fmt.Errorf("record: no attributes of a ConvTranspose give pads %v and output %v", l.Pads, l.OutputShape)
}

// poolAttributes are those of an AveragePool. The attributes that newer
// versions of the operator brought are given only where they are needed, which
// is where the CNN had them.
func poolAttributes(l *record.Layer) []*onnxio.Attribute {
	attrs := slices.DeleteFunc(windowAttributes(l), func(a *onnxio.Attribute) bool {
		return a.Name == "dilations" && !slices.ContainsFunc(a.Ints, func(v int64) bool { return v != 1 })
	})
	if l.CountIncludePad {
		attrs = append(attrs, onnxio.IntAttr("count_include_pad", 1))
	}
	axes := len(l.KernelShape)
	for i := range axes {
		room := l.InputShape[i+1] + l.Pads[i] + l.Pads[axes+i] - (l.KernelShape[i]-1)*l.Dilations[i] - 1
		if room < 0 || l.OutputShape[i+1] > room/l.Strides[i]+1 {
			return append(attrs, onnxio.IntAttr("ceil_mode", 1))
		}
	}
	return attrs
}

// isAverage says whether m has the coefficients that averages have: those of
// any that it uses are 1/divisor, bit for bit, and there is no bias.
func isAverage(m *affine.Map, divisors []int) bool {
	if slices.ContainsFunc(m.Bias, func(b float32) bool { return b != 0 }) {
		return false
	}
	want := affine.Averages(m.InChannels, m.Taps, divisors)
	used := usedCoefs(m.Taps)
	for i, k := range m.Kernel {
		if used[i%m.Taps.Coefs] && math.Float32bits(k) != math.Float32bits(want.Kernel[i]) {
			return false
		}
	}
	return true
}

// usedCoefs says which coefficients any output position reads with.
func usedCoefs(t *affine.Taps) []bool {
	used := make([]bool, t.Coefs)
	var taps []affine.Tap
	for p := range t.Out {
		taps = t.At(p, taps)
		for _, tap := range taps {
			used[tap.Coef] = true
		}
	}
	return used
}

// onlyDivisor returns a coefficient that output positions read with, if all of
// those that any does have one divisor.
func onlyDivisor(t *affine.Taps, divisors []int) (coef int, ok bool) {
	coef = -1
	for i, used := range usedCoefs(t) {
		if used && coef >= 0 && divisors[i] != divisors[coef] {
			return 0, false
		}
		if used {
			coef = i
		}
	}
	return max(coef, 0), true
}

// spread returns the kernel of a depthwise convolution with that many taps, all
// of which have coefficient coef of their channel in m.
func spread(m *affine.Map, coef, taps int) []float32 {
	kernel := make([]float32, 0, m.OutChannels*taps)
	for o := range m.OutChannels {
		for range taps {
			kernel = append(kernel, m.Kernel[o*m.Taps.Coefs+coef])
		}
	}
	return kernel
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
