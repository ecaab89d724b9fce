package verify

import (
	"fmt"

	"efcn/onnxio"
)

// https://onnx.ai/onnx/operators/onnx__Split.html
// https://onnx.ai/onnx/operators/onnx__SplitToSequence.html
func init() {
	register(
		operator{
			name: "Split", moves: &movement{}, integers: splitIntegers, selection: picks(splitOff),
			axis: always[int64](0), lists: map[string]int{"split": 1},
		},
		operator{name: "SplitToSequence", axis: always[int64](0)},
	)
}

// splitOff: output k is the k-th piece of the axis, in the sizes given, or in equal
// ones of which the last may be shorter.
// https://onnx.ai/onnx/operators/onnx__Split.html
func splitOff(s *structure, node *onnxio.Node, k int, in []int) ([][]int, error) {
	number, err := s.cnn.axis(node)
	if err != nil {
		return nil, err
	}
	axis, err := axisOf(number, len(in))
	if err != nil {
		return nil, err
	}
	sizes, err := s.cnn.list(node, "split", 1)
	if err != nil {
		return nil, err
	}
	if sizes == nil {
		n := int64(len(node.Outputs))
		each := (int64(in[axis]) + n - 1) / n
		for left := int64(in[axis]); len(sizes) < int(n); left -= each {
			sizes = append(sizes, max(0, min(each, left)))
		}
	}
	if k >= len(sizes) {
		return nil, fmt.Errorf("split %v has no size for output %d", sizes, k)
	}
	first := int64(0)
	for _, size := range sizes[:k] {
		first += size
	}
	out := everything(in)
	if first+sizes[k] > int64(in[axis]) || sizes[k] < 0 {
		return nil, fmt.Errorf("split %v of an axis of %d", sizes, in[axis])
	}
	out[axis] = out[axis][first : first+sizes[k]]
	return out, nil
}

// splitIntegers: the input may be what all outputs may be.
func splitIntegers(n *net, node *onnxio.Node, i, depth int) span {
	if i > 0 {
		return shaping(n, node, i, depth)
	}
	r := none
	for _, name := range node.Outputs {
		r = r.and(n.taken(name, depth+1))
	}
	return r
}
