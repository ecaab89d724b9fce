package verify

import (
	"math"

	"efcn/onnxio"
)

// Comparisons of two numbers, and of one with what is no finite number.
func init() {
	for _, name := range []string{"Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual"} {
		register(operator{
			name: name, elementwise: true, steps: step(comparisonBound),
			integers: besideKnown(comparedIntegers),
		})
	}
	for _, name := range []string{"IsNaN", "IsInf"} {
		register(operator{name: name, elementwise: true, steps: step(comparisonBound)})
	}
}

// comparedIntegers are about as large as what they are compared with.
func comparedIntegers(_ int, least, most int64, _ span) span {
	return span{lo: least - 1, hi: most + 1}
}

// comparisonBound bounds a comparison: it may go either way where its operands are no
// further apart than both bounds together.
func comparisonBound(b *bounds, node *onnxio.Node, ds [][]float64) (d []float64, near []int, err error) {
	d, err = b.eachElement(node, ds, func(in []spreadInput, i int) float64 {
		var either bool
		if len(in) == 1 { // IsNaN, IsInf: a finite bound keeps a number what it is
			either = math.IsInf(in[0].at(i), 1)
		} else {
			e := in[0].at(i) + in[1].at(i)
			either = e > 0 && !(math.Abs(in[0].x[i]-in[1].x[i]) > own*e)
		}
		if either {
			return 1
		}
		return 0
	})
	return d, nil, err
}
