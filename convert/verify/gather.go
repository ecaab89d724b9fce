package verify

import (
	"fmt"
	"math"

	"efcn/onnxio"
)

// https://onnx.ai/onnx/operators/onnx__Gather.html
// https://onnx.ai/onnx/operators/onnx__GatherElements.html
// https://onnx.ai/onnx/operators/onnx__GatherND.html
func init() {
	register(
		operator{
			name: "Gather", axis: always[int64](0), moves: &movement{}, bound: gatherBound(gatherPlace),
			integers: gatherIntegers(indicesAlongAxis), selection: picks(gathered), onVector: ofVector,
		},
		operator{
			name: "GatherElements", axis: always[int64](0), moves: &movement{}, bound: gatherBound(gatherElementsPlace),
			integers: gatherIntegers(indicesAlongAxis),
		},
		operator{
			name: "GatherND", moves: &movement{sameShape: true}, defaults: always(spelling{"batch_dims": "0"}),
			integers: gatherIntegers(indexTuples),
		},
	)
}

// gatherIntegers: what is gathered may be what the output may be.
func gatherIntegers(indices func(*net, *onnxio.Node, int, int) span) func(*net, *onnxio.Node, int, int) span {
	return func(n *net, node *onnxio.Node, i, depth int) span {
		if i == 0 {
			return passedOn(n, node, i, depth)
		}
		return indices(n, node, i, depth)
	}
}

// gatherBound bounds Gather and GatherElements.
func gatherBound(place placeOf) boundFunc {
	return func(b *bounds, node *onnxio.Node, ds [][]float64) ([][]float64, error) {
		if ds[1] == nil {
			return b.moved(node, ds)
		}
		d, err := b.gathered(node, ds, place)
		return [][]float64{d}, err
	}
}

// placeOf returns by which index element i of an output is taken, and from which line of the
// data, l: of shapes data and out, with steps indices, along an axis.
type placeOf func(i int, l lines, data, out []int, steps, axis int) (index, line int)

// gatherPlace: the output is outer × indices × inner.
func gatherPlace(i int, l lines, _, _ []int, steps, _ int) (index, line int) {
	return i / l.inner % steps, i/l.inner/steps*l.inner + i%l.inner
}

// gatherElementsPlace: the output has the shape of the indices.
func gatherElementsPlace(i int, l lines, data, out []int, _, axis int) (index, line int) {
	at := unravel(i, out)
	at[axis] = 0
	place := 0
	for a, v := range at {
		place = place*data[a] + v
	}
	return i, place/(l.inner*data[axis])*l.inner + place%l.inner
}

// gathered bounds Gather and GatherElements by indices that may differ: the element
// that is taken may be any that the index can reach.
func (b *bounds) gathered(node *onnxio.Node, ds [][]float64, place placeOf) ([]float64, error) {
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
		k, line := place(i, l, data.Shape, y.Shape, steps, int(axis))
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

// gathered: of the axis, the indices in their order, from behind where they are
// negative; that the axes of the indices take its place moves nothing.
// https://onnx.ai/onnx/operators/onnx__Gather.html
func gathered(s *structure, node *onnxio.Node, _ int, in []int) ([][]int, error) {
	indices, err := s.cnn.list(node, "", 1)
	if err != nil {
		return nil, err
	}
	at, err := s.cnn.axis(node)
	if err != nil {
		return nil, err
	}
	axis, err := axisOf(at, len(in))
	if err != nil {
		return nil, err
	}
	lists := everything(in)
	lists[axis] = nil
	for _, i := range indices {
		if i < 0 {
			i += int64(in[axis])
		}
		if i < 0 || i >= int64(in[axis]) {
			return nil, fmt.Errorf("index %d of an axis of %d", i, in[axis])
		}
		lists[axis] = append(lists[axis], int(i))
	}
	return lists, nil
}

// ofVector reports whether a Gather of the eFCN picks elements of a vector for the
// CNN's Gather, rather than what that picks of a tensor: it
// names every element of the result. Where it is both, they are one.
func ofVector(s *structure, node, held *onnxio.Node) bool {
	value := node.Output(0)
	t := s.efcn.constants[held.Input(1)]
	axis, err := s.efcn.axis(held)
	return err == nil && axis == 1 && t != nil && len(t.Dims) == 1 &&
		t.Dims[0] == int64(product(s.shapes[value][min(1, len(s.shapes[value])):]))
}
