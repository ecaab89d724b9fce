package verify

import (
	"fmt"

	"efcn/onnxio"
)

// selection returns for every element of output k of a selecting node, without the
// batch axis, its place in the vector of the data, or outside, as the operator's
// page says. The data of a node that joins are the vectors of its inputs one behind the other.
func (s *structure) selection(node *onnxio.Node, k int) ([]int, error) {
	in := s.shapeOf(node.Input(0))
	if len(in) < 2 {
		return nil, fmt.Errorf("shape %v has no batch and channel axes", in)
	}
	op := operatorOf(node)
	if op.selection == nil {
		return nil, fmt.Errorf("what it selects is not known here")
	}
	return op.selection(s, node, k, in)
}

// picks is the selection of an operator of which lists says what it picks of every axis.
func picks(lists func(s *structure, node *onnxio.Node, k int, in []int) ([][]int, error)) selectionFunc {
	return func(s *structure, node *onnxio.Node, k int, in []int) ([]int, error) {
		all, err := lists(s, node, k, in)
		return picked(in, all, err)
	}
}

// picked is the selection of an operator that picks indices of every axis by
// itself: lists has those of each axis, in order, with outside for none.
func picked(in []int, lists [][]int, err error) ([]int, error) {
	if err != nil {
		return nil, err
	}
	if err := wholeBatch(in, lists[0]); err != nil {
		return nil, err
	}
	from := []int{0}
	for axis := 1; axis < len(in); axis++ {
		next := make([]int, 0, len(from)*len(lists[axis]))
		for _, f := range from {
			for _, i := range lists[axis] {
				if f == outside || i == outside {
					next = append(next, outside)
				} else {
					next = append(next, f*in[axis]+i)
				}
			}
		}
		from = next
	}
	return from, nil
}

// wholeBatch checks that nothing is picked of the batch axis but all of it.
func wholeBatch(in, list []int) error {
	if identity(list, in[0]) >= 0 {
		return fmt.Errorf("it picks samples of the batch")
	}
	return nil
}

func everything(in []int) [][]int {
	lists := make([][]int, len(in))
	for axis, n := range in {
		for i := range n {
			lists[axis] = append(lists[axis], i)
		}
	}
	return lists
}

// axisOf resolves a negative axis.
func axisOf(axis int64, rank int) (int, error) {
	if axis < 0 {
		axis += int64(rank)
	}
	if axis < 0 || axis >= int64(rank) {
		return 0, fmt.Errorf("axis %d of a value with %d axes", axis, rank)
	}
	return int(axis), nil
}

// list returns a list that is an attribute or, since some opset, input i.
func (n *net) list(node *onnxio.Node, attribute string, i int) ([]int64, error) {
	name := node.Input(i)
	if name == "" {
		return node.Ints(attribute)
	}
	t := n.parameter(name)
	if t == nil {
		return nil, fmt.Errorf("input %d (%q) is computed at run time", i, name)
	}
	return onnxio.Ints(t)
}
