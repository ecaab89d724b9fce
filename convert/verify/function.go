package verify

import (
	"math"

	"efcn/onnxio"
)

// Functions of one number.
func init() {
	for _, op := range []operator{
		{name: "Abs", lipschitz: slope(1), exact: true, anyEngine: true},
		{name: "Exp"},
		{name: "Log"},
		{name: "Sqrt"},
		{name: "Reciprocal"},
		{name: "Erf", lipschitz: slope(1.1284)}, // 2/√π
		{name: "Pow"},
		{name: "Sin", lipschitz: slope(1)},
		{name: "Cos", lipschitz: slope(1)},
		{name: "Tan"},
		{name: "Asin"},
		{name: "Acos"},
		{name: "Atan", lipschitz: slope(1)},
		{name: "Sinh"},
		{name: "Cosh"},
		{name: "Tanh", lipschitz: slope(1)},
		{name: "Asinh", lipschitz: slope(1)},
		{name: "Acosh"},
		{name: "Atanh"},
		{name: "BitwiseNot"},
	} {
		op.elementwise = true
		register(op)
	}
}

// slope is a Lipschitz constant that no attribute changes.
func slope(l float64) func(*net, *onnxio.Node) (float64, bool) {
	return func(*net, *onnxio.Node) (float64, bool) { return l, true }
}

// function bounds an elementwise function with Lipschitz constant l of its first input. Its
// other inputs are limits of the result, or are multiplied with the first. A function that
// rounds is taken to be right to 4 units in the last place. Of a pair of models, one may write
// it in several operators, with constants rounded once: it is taken to be as if its argument
// were off by as much.
func (b *bounds) function(node *onnxio.Node, ds [][]float64, l float64) ([][]float64, error) {
	op, d := operatorOf(node), ds[0]
	y := b.values.value(node.Output(0))
	out := make([]float64, y.Len())
	for i := range out {
		v := 0.0
		if d != nil {
			v = d[i]
		}
		out[i] = own * l * v
		if !op.exact {
			out[i] += own*16*b.unit*(math.Abs(y.F[i])+l*v) + 2*b.tiny
		}
	}
	if anyBound(ds[1:]) {
		_, err := b.eachElement(node, ds, func(in []spreadInput, i int) float64 {
			for k := 1; k < len(in); k++ {
				if op.limits {
					out[i] = math.Max(out[i], own*in[k].at(i))
				} else {
					out[i] += own * (math.Abs(in[0].x[i]) + in[0].at(i)) * in[k].at(i)
				}
			}
			return out[i]
		})
		if err != nil {
			return nil, err
		}
	}
	if op.exact || !b.pair() {
		return [][]float64{out}, nil
	}
	x, err := b.magnitude(node.Input(0))
	if err != nil {
		return nil, err
	}
	for i, m := range x.F {
		out[i] += own * (16*b.unit + 2*b.parameters) * l * m
	}
	return [][]float64{out}, nil
}
