package verify

import (
	"fmt"
	"slices"

	"efcn/onnxio"
)

// https://onnx.ai/onnx/operators/onnx__Concat.html
func init() {
	register(operator{
		name: "Concat", axis: always[int64](1), joins: true, moves: &movement{data: anyInput}, integers: anyPassedOn,
		selection: concatenated, onVector: joinsVectors, notNegative: concatNotNegative,
	})
}

// concatenated: along the axis, the elements of one input after those of the other.
// https://onnx.ai/onnx/operators/onnx__Concat.html
func concatenated(s *structure, node *onnxio.Node, _ int, first []int) ([]int, error) {
	number, err := s.cnn.axis(node)
	if err != nil {
		return nil, err
	}
	axis, err := axisOf(number, len(first))
	if err != nil {
		return nil, err
	}
	if axis == 0 {
		return nil, fmt.Errorf("it joins batches")
	}
	outer := product(first[1:axis])
	sizes, starts := make([]int, len(node.Inputs)), make([]int, len(node.Inputs))
	total := 0
	for i, name := range node.Inputs {
		shape := s.shapeOf(name)
		if len(shape) != len(first) || shape[0] != first[0] {
			return nil, fmt.Errorf("input %d (%q) of shape %v has no batch axis like %v", i, name, shape, first)
		}
		sizes[i], starts[i] = product(shape[axis:]), total
		total += product(shape[1:])
	}
	from := make([]int, 0, total)
	for o := range outer {
		for i, size := range sizes {
			for e := range size {
				from = append(from, starts[i]+o*size+e)
			}
		}
	}
	return from, nil
}

// joinsTensors reports whether a Concat has no vector form: it works along the batch
// axis, or one of its inputs is a constant.
func (s *structure) joinsTensors(node *onnxio.Node) bool {
	axis, err := s.cnn.axis(node)
	return err == nil && (axis == 0 || axis == -int64(len(s.shapes[node.Output(0)]))) ||
		slices.ContainsFunc(node.Inputs, func(name string) bool { return s.cnn.known(name) })
}

// joinsVectors reports whether a Concat of the eFCN joins vectors that are tensors of
// more axes in the CNN.
func joinsVectors(s *structure, node, held *onnxio.Node) bool {
	if len(s.shapes[node.Output(0)]) == 2 {
		return false
	}
	if f := &s.efcn.fromShapes; len(f.sizes) > 0 {
		if dims, known := f.dims(held.Output(0), 0); known {
			return len(dims) == 2
		}
	}
	return !s.joinsTensors(node)
}

func concatNotNegative(s *structure, node *onnxio.Node) bool {
	for _, in := range node.Inputs {
		if !s.notNegative(in) {
			return false
		}
	}
	return len(node.Inputs) > 0
}
