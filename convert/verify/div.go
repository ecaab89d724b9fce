package verify

import (
	"math"

	"efcn/onnxio"
)

// https://onnx.ai/onnx/operators/onnx__Div.html
func init() {
	register(operator{
		name: "Div", elementwise: true, twoSided: true, anyEngine: true,
		diagonal: divDiagonal, integers: besideKnown(divIntegers),
		bound: oneOutput((*bounds).divided), magnitudes: withConstant("Div"),
	})
}

// divided bounds a quotient y = a/b: (d_a + |y|d_b)/(|b| − d_b).
func (b *bounds) divided(node *onnxio.Node, ds [][]float64) ([]float64, error) {
	if b.integers(node) { // it truncates
		return b.quotient(node, ds)
	}
	den, err := b.magnitude(node.Input(1))
	if err != nil {
		return nil, err
	}
	num, err := b.value(node.Input(0))
	if err != nil {
		return nil, err
	}
	y, err := b.magnitude(node.Output(0))
	if err != nil {
		return nil, err
	}
	part, err := b.apply("Mul", y, like(den, ds[1]))
	if err != nil {
		return nil, err
	}
	if part, err = b.apply("Add", part, like(num, ds[0])); err != nil {
		return nil, err
	}
	least := like(den, append([]float64(nil), den.F...))
	for k := range least.F {
		if ds[1] != nil {
			least.F[k] -= ds[1][k]
		}
		if least.F[k] <= 0 {
			return b.unknown(node)[0], nil
		}
	}
	q, err := b.apply("Div", part, least)
	if err != nil {
		return nil, err
	}
	for k := range q.F {
		q.F[k] = own*(1+4*b.unit)*q.F[k] + own*2*(b.unit+b.parameters)*y.F[k] + 2*b.tiny
	}
	return q.F, nil
}

// quotient bounds a division of integers, which truncates: by what it is at both
// ends of the dividend, of a divisor that both computations have.
func (b *bounds) quotient(node *onnxio.Node, ds [][]float64) ([]float64, error) {
	if ds[1] != nil {
		return b.unknown(node)[0], nil
	}
	d, err := b.eachElement(node, ds, func(in []spreadInput, i int) float64 {
		x, m, e := in[0].x[i], in[1].x[i], in[0].at(i)
		q := math.Trunc(x / m)
		return math.Max(math.Abs(math.Trunc((x-e)/m)-q), math.Abs(math.Trunc((x+e)/m)-q))
	})
	b.near(node.Output(0), positive(d))
	return d, err
}

func divDiagonal(n *net, node *onnxio.Node, data int, shape []int) (*diagonal, error) {
	if data == 1 {
		return nil, errNotLinear
	}
	return scaledBy(func(v, c float64) float64 { return v / c })(n, node, data, shape)
}

func divIntegers(i int, least, most int64, output span) span {
	if i != 0 || least < 1 {
		return none
	}
	return output.mapped(func(lo, hi int64) (int64, int64) { return lo * most, hi*least + least - 1 })
}
