package verify

import "efcn/onnxio"

// Operators on truth values.
func init() {
	for _, op := range []operator{
		{name: "And", bound: logicBound(func(x float64) bool { return x == 0 })},
		{name: "Or", bound: logicBound(func(x float64) bool { return x != 0 })},
		{name: "Xor", bound: logicBound(never)},
		{name: "Not", bound: logicBound(never)},
	} {
		op.elementwise = true
		register(op)
	}
}

func never(float64) bool { return false }

// logicBound bounds an operator on truth values, of which decides reports whether one operand
// alone decides the result.
func logicBound(decides func(x float64) bool) boundFunc {
	return oneOutput(func(b *bounds, node *onnxio.Node, ds [][]float64) ([]float64, error) {
		return b.eachElement(node, ds, func(in []spreadInput, i int) float64 {
			d := 0.0
			for k := range in {
				switch sure := in[k].at(i) == 0; {
				case sure && decides(in[k].x[i]): // by an operand that both computations have
					return 0
				case !sure:
					d = 1
				}
			}
			return d
		})
	})
}
