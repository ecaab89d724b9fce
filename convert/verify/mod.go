package verify

import (
	"math"

	"efcn/onnxio"
)

// https://onnx.ai/onnx/operators/onnx__Mod.html
func init() {
	register(operator{
		name: "Mod", elementwise: true, steps: step(modBound), integers: besideKnown(modIntegers),
		defaults: always(spelling{"fmod": "0"}),
	})
}

// modBound bounds Mod by a divisor that both computations have: the remainder
// moves with the dividend, and jumps by the divisor where a multiple of it is
// passed.
func modBound(b *bounds, node *onnxio.Node, ds [][]float64) ([]float64, []int, error) {
	if len(ds) < 2 || ds[1] != nil {
		return b.unknown(node)[0], []int{}, nil
	}
	near := []int{}
	d, err := b.eachElement(node, ds, func(in []spreadInput, i int) float64 {
		x, e, m := in[0].x[i], in[0].at(i), math.Abs(in[1].x[i])
		switch {
		case e == 0:
			return 0
		case math.Floor((x-e)/m) == math.Floor((x+e)/m):
			return own*e + 4*b.unit*m
		default:
			near = append(near, i)
			return own * (2*m + e)
		}
	})
	return d, near, err
}

func modIntegers(i int, least, most int64, output span) span {
	if i != 0 || least < 1 || !output.limited {
		return none
	}
	return span{lo: 0, hi: 2*most - 1, limited: true}
}
