package verify

import (
	"math"

	"efcn/internal/engine"
	"efcn/onnxio"
)

// https://onnx.ai/onnx/operators/onnx__TopK.html
func init() {
	register(operator{
		name: "TopK", steps: topKBound, integers: shaping, axis: always[int64](-1), lists: map[string]int{"k": 1},
		defaults: always(spelling{"largest": "1", "sorted": "1"}),
	})
}

// topKBound bounds both outputs of TopK. What is in a place of a ranking moves by no
// more than the largest bound of its line; its index may be that of any candidate.
func topKBound(b *bounds, node *onnxio.Node, ds [][]float64) ([][]float64, error) {
	axis, err := b.net.axis(node)
	if err != nil {
		return nil, err
	}
	largest, err := node.Int("largest", 1)
	if err != nil {
		return nil, err
	}
	if len(ds) > 1 && ds[1] != nil || ds[0] == nil {
		b.loosen(node)
		return b.unknown(node), nil
	}
	x, err := b.value(node.Input(0))
	if err != nil {
		return nil, err
	}
	l := linesOf(x.Shape, axis)
	var shape []int
	var index *engine.Tensor[float64]
	for i, name := range node.Outputs {
		if v := b.values.header(name); v != nil {
			shape = v.Shape
			if i == 1 {
				index = v
			}
		}
	}
	k := linesOf(shape, axis).length
	values, indices := make([]float64, product(shape)), make([]float64, product(shape))
	rankings(numbers(x), ds[0], l, largest != 0, func(line int, r ranking) {
		for place := range k {
			at := l.at(line, place, k)
			values[at] = r.moves(place)
			if index == nil {
				continue
			}
			for _, j := range r.candidates(place) {
				indices[at] = math.Max(indices[at], math.Abs(float64(j)-float64(index.I[at])))
			}
		}
	})
	b.near(node.Output(1), positive(indices))
	if len(positive(indices)) == 0 {
		indices = nil
	}
	return [][]float64{values, indices}, nil
}
