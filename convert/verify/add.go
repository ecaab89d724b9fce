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
		{
			name: "Add", twoSided: true, diagonal: addDiagonal, integers: besideKnown(addIntegers),
			magnitudes: withConstant("Sum"),
		},
		{
			name: "Sub", twoSided: true, diagonal: subDiagonal, integers: besideKnown(subIntegers),
			magnitudes: withConstant("Sum"),
		},
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

func addDiagonal(n *net, node *onnxio.Node, data int, shape []int) (*diagonal, error) {
	c, err := n.constantAt(node, 1-data, shape)
	return &diagonal{shift: c}, err
}

func subDiagonal(n *net, node *onnxio.Node, data int, shape []int) (*diagonal, error) {
	c, err := n.constantAt(node, 1-data, shape)
	if data == 1 {
		return &diagonal{scale: func(_ int, v float64) float64 { return -v }, shift: c}, err
	}
	return &diagonal{shift: func(r int) float64 { return -c(r) }}, err
}

func addIntegers(_ int, least, most int64, output span) span {
	return output.mapped(func(lo, hi int64) (int64, int64) { return lo - least, hi - most })
}

func subIntegers(i int, least, most int64, output span) span {
	if i == 0 {
		return output.mapped(func(lo, hi int64) (int64, int64) { return lo + most, hi + least })
	}
	return output.mapped(func(lo, hi int64) (int64, int64) { return most - hi, least - lo })
}
