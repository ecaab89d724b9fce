package restore

import (
	"math"
	"slices"

	"efcn/convert/affine"
	"efcn/convert/record"
	"efcn/onnxio"
)

func init() {
	operations["AveragePool"] = operation{of: averagePool}
	operations["GlobalAveragePool"] = operation{of: globalAveragePool, dims: reducedDims}
}

// averagePool is the pooling itself, or a depthwise Conv where all windows have one
// number of cells.
func averagePool(l *record.Layer, m *affine.Map, n *onnxio.Node, _ int64) (*onnxio.Tensor, bool, error) {
	ws, err := l.Windows()
	if err != nil {
		return nil, false, err
	}
	taps, divisors := affine.AverageTaps(ws, l.CountIncludePad)
	if isAverage(m, divisors) {
		n.Attributes = poolAttributes(l)
		return nil, true, nil
	}
	class, ok := onlyDivisor(taps, divisors)
	if !ok {
		return nil, false, nil
	}
	return convolve(l, m, n, paddedAttributes(l), spread(m, class, int(affine.Size(l.KernelShape))), l.KernelShape),
		true, nil
}

// globalAveragePool is the average of all positions, or a depthwise Conv over them.
func globalAveragePool(l *record.Layer, m *affine.Map, n *onnxio.Node, _ int64) (*onnxio.Tensor, bool, error) {
	if isAverage(m, []int{m.Taps.In}) {
		return nil, true, nil
	}
	return convolve(l, m, n, nil, spread(m, 0, m.Taps.In), l.InputShape[1:]), true, nil
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

// isAverage reports whether m has the coefficients that averages have: those of
// any that it uses are 1/divisor, bit for bit, and there is no bias.
func isAverage(m *affine.Map, divisors []int) bool {
	if hasBias(m) {
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
