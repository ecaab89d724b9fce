package verify

import (
	"math"

	"efcn/internal/engine"
	"efcn/onnxio"
)

// https://onnx.ai/onnx/operators/onnx__Mul.html
func init() {
	register(operator{
		name: "Mul", elementwise: true, twoSided: true, anyEngine: true,
		diagonal: scaledBy(func(v, c float64) float64 { return v * c }), integers: besideKnown(mulIntegers),
		bound: oneOutput((*bounds).multiplied), magnitudes: withConstant("Mul"),
	})
}

// multiplied bounds a product: |a'b' − ab| ≤ |a|d_b + |b|d_a + d_a·d_b.
func (b *bounds) multiplied(node *onnxio.Node, ds [][]float64) ([]float64, error) {
	var m, e [2]*engine.Tensor[float64]
	for i := range m {
		v, err := b.magnitude(node.Input(i))
		if err != nil {
			return nil, err
		}
		v = sizes(v)
		wide := like(v, append([]float64(nil), v.F...))
		for k := range ds[i] {
			wide.F[k] += ds[i][k]
		}
		m[i], e[i] = v, wide
	}
	size, err := b.apply("Mul", m[0], m[1])
	if err != nil {
		return nil, err
	}
	// (|a|+d_a)(|b|+d_b) − |a||b| loses digits where d is small, so the three
	// products are added up instead.
	d := make([]float64, len(size.F))
	for i := range ds {
		if ds[i] == nil {
			continue
		}
		other := m[1-i]
		if i == 1 {
			other = e[0]
		}
		part, err := b.apply("Mul", like(m[i], ds[i]), other)
		if err != nil {
			return nil, err
		}
		for k, v := range part.F {
			d[k] += v
		}
	}
	if b.integers(node) {
		return d, nil
	}
	for k := range d {
		d[k] = own*(1+4*b.unit)*d[k] + own*2*(b.unit+b.parameters)*size.F[k] + 2*b.tiny
		if own*(size.F[k]+d[k]) >= b.huge {
			d[k] = math.Inf(1)
		}
	}
	return d, nil
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b != 0 && a < 0 {
		q--
	}
	return q
}

func mulIntegers(_ int, least, most int64, output span) span {
	if least < 1 {
		return none
	}
	return output.mapped(func(lo, hi int64) (int64, int64) { return -floorDiv(-lo, most), floorDiv(hi, most) })
}
