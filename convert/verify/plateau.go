package verify

import (
	"math"

	"efcn/internal/engine"
	"efcn/onnxio"
)

// Functions of one number that rise in steps.
func init() {
	for _, name := range []string{"Floor", "Ceil", "Round", "Sign"} {
		register(operator{name: name, elementwise: true, steps: step(plateau)})
	}
}

// plateau bounds a function that only rises, or only falls, by what it is at both
// ends of what its operand may be. It is the model's own node that is run there, so
// the ends are rounded as it rounds.
func plateau(b *bounds, node *onnxio.Node, ds [][]float64) ([]float64, []int, error) {
	in := make([]*engine.Tensor[float64], len(node.Inputs))
	for i, name := range node.Inputs {
		var err error
		if in[i], err = b.value(name); err != nil {
			return nil, nil, err
		}
	}
	ends, err := b.values.atEnds(node, b.net.opset, in, ds[0])
	if err != nil {
		return nil, nil, err
	}
	y := b.values.value(node.Output(0))
	d := make([]float64, y.Len())
	for _, end := range ends {
		for i := range d {
			d[i] = math.Max(d[i], differ(y, end, i))
		}
	}
	return d, nil, nil
}
