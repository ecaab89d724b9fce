package verify

import (
	"fmt"
	"math"

	"efcn/onnxio"
)

// selection returns for every element of output k of a selecting node, without the
// batch axis, its place in the vector of the data, or outside, as the operator's
// page says. The data of a Concat are the vectors of its inputs one behind the other.
func (s *structure) selection(node *onnxio.Node, k int) ([]int, error) {
	in := s.shapeOf(node.Input(0))
	if len(in) < 2 {
		return nil, fmt.Errorf("shape %v has no batch and channel axes", in)
	}
	switch {
	case isOp(node, "Transpose"):
		return s.transposition(node)
	case isMaximum(node):
		return s.single(node)
	case isOp(node, "Slice"):
		lists, err := s.sliced(node, in)
		return picked(in, lists, err)
	case isOp(node, "Split"):
		lists, err := s.splitOff(node, k, in)
		return picked(in, lists, err)
	case isOp(node, "Pad"):
		lists, err := s.padded(node, in)
		return picked(in, lists, err)
	case isOp(node, "Gather"):
		lists, err := s.gathered(node, in)
		return picked(in, lists, err)
	case isOp(node, "DepthToSpace", "SpaceToDepth"):
		return blocksMoved(node, in)
	case isOp(node, "Concat"):
		return s.concatenated(node)
	case isOp(node, "Resize", "Upsample"):
		lists, err := s.resampled(node, in)
		return picked(in, lists, err)
	default:
		return nil, fmt.Errorf("what it selects is not known here")
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

// integers returns a list that is an attribute or, since some opset, input i.
func (n *net) integers(node *onnxio.Node, attribute string, i int) ([]int64, error) {
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

// gathered: of the axis, the indices in their order, from behind where they are
// negative; that the axes of the indices take its place moves nothing.
// https://onnx.ai/onnx/operators/onnx__Gather.html
func (s *structure) gathered(node *onnxio.Node, in []int) ([][]int, error) {
	indices, err := s.cnn.integers(node, "", 1)
	if err != nil {
		return nil, err
	}
	at, err := node.Int("axis", 0)
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

// sliced: starts and ends count from the end where they are negative, and are
// clamped to the axis; a step that is negative goes backwards, from an index that
// there is.
// https://onnx.ai/onnx/operators/onnx__Slice.html
func (s *structure) sliced(node *onnxio.Node, in []int) ([][]int, error) {
	var lists [4][]int64
	for i, name := range []string{"starts", "ends", "axes", "steps"} {
		var err error
		if lists[i], err = s.cnn.integers(node, name, i+1); err != nil {
			return nil, err
		}
	}
	starts, ends, axes, steps := lists[0], lists[1], lists[2], lists[3]
	out := everything(in)
	for i, start := range starts {
		number, step := int64(i), int64(1)
		if axes != nil {
			number = axes[i]
		}
		if steps != nil {
			step = steps[i]
		}
		axis, err := axisOf(number, len(in))
		if err != nil || i >= len(ends) || step == 0 {
			return nil, fmt.Errorf("starts %v, ends %v, axes %v, steps %v: %w", starts, ends, axes, steps, err)
		}
		n, end := int64(in[axis]), ends[i]
		if start < 0 {
			start += n
		}
		if end < 0 && end > math.MinInt64/2 {
			end += n
		}
		out[axis] = nil
		if step > 0 {
			for at := max(start, 0); at < min(end, n); at += step {
				out[axis] = append(out[axis], int(at))
			}
		} else if n > 0 {
			for at := max(0, min(start, n-1)); at > max(end, -1); at += step {
				out[axis] = append(out[axis], int(at))
			}
		}
	}
	return out, nil
}

// splitOff: output k is the k-th piece of the axis, in the sizes given, or in equal
// ones of which the last may be shorter.
// https://onnx.ai/onnx/operators/onnx__Split.html
func (s *structure) splitOff(node *onnxio.Node, k int, in []int) ([][]int, error) {
	number, err := node.Int("axis", 0)
	if err != nil {
		return nil, err
	}
	axis, err := axisOf(number, len(in))
	if err != nil {
		return nil, err
	}
	sizes, err := s.cnn.integers(node, "split", 1)
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

// padded: what lies before 0 and behind the end of an axis is a constant, the
// nearest element (edge), the mirror image without the element at the mirror
// (reflect), or that of the other end (wrap). Negative pads take away.
// https://onnx.ai/onnx/operators/onnx__Pad.html
func (s *structure) padded(node *onnxio.Node, in []int) ([][]int, error) {
	mode, err := node.String("mode", "constant")
	if err != nil {
		return nil, err
	}
	pads, err := s.cnn.integers(node, "pads", 1)
	if err != nil {
		return nil, err
	}
	axes := make([]int64, len(in))
	for i := range axes {
		axes[i] = int64(i)
	}
	if node.Input(3) != "" {
		if axes, err = s.cnn.integers(node, "", 3); err != nil {
			return nil, err
		}
	}
	if len(pads) != 2*len(axes) {
		return nil, fmt.Errorf("pads %v for %d axes", pads, len(axes))
	}
	out := everything(in)
	for i, number := range axes {
		axis, err := axisOf(number, len(in))
		if err != nil {
			return nil, err
		}
		n := in[axis]
		out[axis] = nil
		for at := -int(pads[i]); at < n+int(pads[len(axes)+i]); at++ {
			from := at
			if at < 0 || at >= n {
				switch mode {
				case "constant":
					from = outside
				case "edge":
					from = max(0, min(at, n-1))
				case "reflect":
					from = 2*(n-1) - at
					if at < 0 {
						from = -at
					}
				case "wrap":
					from = (at%n + n) % n
				default:
					return nil, fmt.Errorf("mode %q is unknown", mode)
				}
				if mode != "constant" && (from < 0 || from >= n) {
					return nil, fmt.Errorf("pads %v reach beyond an axis of %d", pads, n)
				}
			}
			out[axis] = append(out[axis], from)
		}
	}
	return out, nil
}

// blocksMoved: SpaceToDepth puts place (i,j) of every block of b×b into channel
// (i·b + j)·C + c; DepthToSpace takes it from there, or in mode CRD from channel
// c·b² + i·b + j.
// https://onnx.ai/onnx/operators/onnx__DepthToSpace.html
// https://onnx.ai/onnx/operators/onnx__SpaceToDepth.html
func blocksMoved(node *onnxio.Node, in []int) ([]int, error) {
	size, err := node.Int("blocksize", 0)
	if err != nil {
		return nil, err
	}
	mode, err := node.String("mode", "DCR")
	if err != nil {
		return nil, err
	}
	b := int(size)
	if len(in) != 4 || b < 1 || mode != "DCR" && mode != "CRD" {
		return nil, fmt.Errorf("blocksize %d, mode %q on %v", b, mode, in)
	}
	channels, height, width := in[1], in[2], in[3]
	from := make([]int, 0, channels*height*width)
	if node.OpType == "SpaceToDepth" {
		if height%b != 0 || width%b != 0 {
			return nil, fmt.Errorf("blocks of %d on %v", b, in)
		}
		for to := range channels * b * b {
			c, place := to%channels, to/channels
			for y := range height / b {
				for x := range width / b {
					from = append(from, (c*height+y*b+place/b)*width+x*b+place%b)
				}
			}
		}
		return from, nil
	}
	if channels%(b*b) != 0 {
		return nil, fmt.Errorf("blocks of %d on %v", b, in)
	}
	for c := range channels / (b * b) {
		for y := range height * b {
			for x := range width * b {
				place := y%b*b + x%b
				channel := place*(channels/(b*b)) + c
				if mode == "CRD" {
					channel = c*b*b + place
				}
				from = append(from, (channel*height+y/b)*width+x/b)
			}
		}
	}
	return from, nil
}

// concatenated: along the axis, the elements of one input after those of the other.
// https://onnx.ai/onnx/operators/onnx__Concat.html
func (s *structure) concatenated(node *onnxio.Node) ([]int, error) {
	first := s.shapeOf(node.Input(0))
	number, err := node.Int("axis", 1)
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
