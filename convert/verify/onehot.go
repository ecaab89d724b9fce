package verify

import (
	"math"

	"efcn/onnxio"
)

// https://onnx.ai/onnx/operators/onnx__OneHot.html
func init() {
	register(operator{
		name: "OneHot", axis: always[int64](-1), axisOfOutput: true, bound: oneHotBound,
		integers: oneHotIntegers,
	})
}

// oneHotBound bounds OneHot of indices that may differ: on and off may change places
// wherever an index can reach.
func oneHotBound(b *bounds, node *onnxio.Node, ds [][]float64) ([][]float64, error) {
	axis, err := b.net.axis(node)
	if err != nil {
		return nil, err
	}
	index, err := b.value(node.Input(0))
	if err != nil {
		return nil, err
	}
	values, err := b.value(node.Input(2))
	if err != nil {
		return nil, err
	}
	if ds[0] == nil || ds[1] != nil || ds[2] != nil || values.Len() != 2 {
		return b.unknown(node), nil
	}
	y := b.values.header(node.Output(0))
	v, at := numbers(values), numbers(index)
	l := linesOf(y.Shape, axis)
	d := make([]float64, product(y.Shape))
	for line := range l.count {
		e := ds[0][line]
		for j := range l.length {
			if e > 0 && (math.Abs(float64(j)-at[line]) <= e || math.Abs(float64(j-l.length)-at[line]) <= e) {
				d[l.at(line, j, l.length)] = math.Abs(v[1] - v[0])
			}
		}
	}
	return [][]float64{d}, nil
}

// oneHotIntegers: the indices are below the depth.
func oneHotIntegers(n *net, node *onnxio.Node, i, _ int) span {
	if _, hi, ok := n.extent(node.Input(1)); i == 0 && ok {
		return span{lo: 0, hi: hi - 1, limited: true}
	}
	return none
}
