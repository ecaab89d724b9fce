package verify

import (
	"math"

	"efcn/onnxio"
)

// https://onnx.ai/onnx/operators/onnx__Where.html
func init() {
	register(operator{name: "Where", elementwise: true, bound: oneOutput(whereBound), integers: whereIntegers})
}

// whereBound: the element that is chosen has its own bound and, where the condition may be
// either, the distance to the other one with its bound.
func whereBound(b *bounds, node *onnxio.Node, ds [][]float64) ([]float64, error) {
	return b.eachElement(node, ds, func(in []spreadInput, i int) float64 {
		here, there := &in[1], &in[2]
		if in[0].x[i] == 0 {
			here, there = there, here
		}
		d := here.at(i)
		if in[0].at(i) > 0 {
			d = math.Max(d, reach(here.x[i], there.x[i], there.at(i)))
		}
		return d
	})
}

func whereIntegers(n *net, node *onnxio.Node, i, depth int) span {
	if i == 0 {
		return none
	}
	return anyPassedOn(n, node, i, depth)
}
