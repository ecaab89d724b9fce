package verify

import (
	"math"

	"efcn/onnxio"
)

// https://onnx.ai/onnx/operators/onnx__Gather.html
// https://onnx.ai/onnx/operators/onnx__GatherElements.html
// https://onnx.ai/onnx/operators/onnx__GatherND.html
func init() {
	register(
		operator{name: "Gather", axis: always[int64](0), moves: &movement{}, bound: gatherBound},
		operator{name: "GatherElements", axis: always[int64](0), moves: &movement{}, bound: gatherBound},
		operator{name: "GatherND", moves: &movement{sameShape: true}, defaults: always(spelling{"batch_dims": "0"})},
	)
}

// gatherBound bounds Gather and GatherElements.
func gatherBound(b *bounds, node *onnxio.Node, ds [][]float64) ([][]float64, error) {
	if ds[1] == nil {
		return b.moved(node, ds)
	}
	d, err := b.gathered(node, ds)
	return [][]float64{d}, err
}

// gathered bounds Gather and GatherElements by indices that may differ: the element
// that is taken may be any that the index can reach.
func (b *bounds) gathered(node *onnxio.Node, ds [][]float64) ([]float64, error) {
	axis, err := b.net.axis(node)
	if err != nil {
		return nil, err
	}
	data, err := b.value(node.Input(0))
	if err != nil {
		return nil, err
	}
	index, err := b.value(node.Input(1))
	if err != nil {
		return nil, err
	}
	y := b.values.header(node.Output(0))
	if axis < 0 {
		axis += int64(len(data.Shape))
	}
	x, n := numbers(data), data.Shape[axis]
	l := linesOf(data.Shape, axis)
	out := make([]float64, product(y.Shape))
	steps := index.Len()
	for i := range out {
		// Which index element i is taken by, and where its line begins.
		var k, line int
		if isOp(node, "Gather") { // outer × indices × inner
			k = i / l.inner % steps
			line = i/l.inner/steps*l.inner + i%l.inner
		} else {
			at := unravel(i, y.Shape)
			k, at[axis] = i, 0
			place := 0
			for a, v := range at {
				place = place*data.Shape[a] + v
			}
			line = place/(l.inner*n)*l.inner + place%l.inner
		}
		element := func(j int) (float64, float64) {
			if j < 0 {
				j += n
			}
			at := l.at(line, j, n)
			if ds[0] == nil {
				return x[at], 0
			}
			return x[at], ds[0][at]
		}
		j, e := int(index.I[k]), math.Floor(ds[1][k])
		v, d := element(j)
		out[i] = d
		from, to := int(math.Max(float64(-n), float64(j)-e)), int(math.Min(float64(n-1), float64(j)+e))
		if j >= 0 && b.net.opset < 11 {
			from = max(from, 0)
		}
		for other := from; other <= to && e > 0; other++ {
			w, d := element(other)
			out[i] = math.Max(out[i], reach(v, w, d))
		}
	}
	return out, nil
}
