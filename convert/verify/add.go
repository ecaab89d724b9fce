package verify

import (
	"math"

	"efcn/internal/engine"
	"efcn/onnxio"
)

// Sums of values.
// https://onnx.ai/onnx/operators/onnx__Add.html
func init() {
	for _, op := range []operator{
		{name: "Add", twoSided: true, magnitudes: withConstant("Sum")},
		{name: "Sub", twoSided: true, magnitudes: withConstant("Sum")},
		{name: "Sum"},
		{name: "Mean"},
	} {
		op.elementwise, op.anyEngine, op.bound = true, true, oneOutput((*bounds).added)
		register(op)
	}
}

// added bounds a sum of k values: the sum of the bounds, and in either model the
// rounding of k operations on numbers of the size of Σ|x|.
func (b *bounds) added(node *onnxio.Node, ds [][]float64) ([]float64, error) {
	var gains, all []*engine.Tensor[float64]
	for i, name := range node.Inputs {
		m, err := b.magnitude(name)
		if err != nil {
			return nil, err
		}
		all, gains = append(all, sizes(m)), append(gains, like(m, ds[i]))
	}
	size, err := b.apply("Sum", all...)
	if err != nil {
		return nil, err
	}
	gain, err := b.apply("Sum", gains...)
	if err != nil {
		return nil, err
	}
	g := b.gamma(len(node.Inputs)) + b.parameters
	if b.integers(node) {
		g = 0
	}
	d := make([]float64, len(gain.F))
	for i := range d {
		d[i] = own * ((1+g)*gain.F[i] + 2*g*size.F[i])
		if own*(1+g)*(size.F[i]+gain.F[i]) >= b.huge {
			d[i] = math.Inf(1)
		}
	}
	return d, nil
}

// withConstant returns the magnitudes of an operator on a value and a constant, which op
// puts together.
func withConstant(op string) func(*bounds, *onnxio.Node, *engine.Tensor[float64]) (*engine.Tensor[float64], error) {
	return func(b *bounds, node *onnxio.Node, x *engine.Tensor[float64]) (*engine.Tensor[float64], error) {
		data, _ := b.net.operands(node)
		c, err := b.magnitude(node.Input(1 - data))
		if err != nil {
			return nil, err
		}
		return b.apply(op, x, c)
	}
}
