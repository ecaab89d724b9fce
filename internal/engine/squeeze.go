package engine

import (
	"fmt"

	"efcn/internal/kernel"
)

// Squeeze (https://onnx.ai/onnx/operators/onnx__Squeeze.html) drops axes of
// size 1: those named, in an attribute before version 13 and in an input since,
// or all.
func init() {
	register(operator{name: "Squeeze", inputs: "vi"}, squeeze[float32], squeeze[float64])
}

func squeeze[T kernel.Float](n *node) (compute[T], error) { return reshapedBy[T](n, squeezed) }

func squeezed(shape []int, axes []int64, given bool) ([]int, error) {
	drop, err := axisSet(axes, len(shape))
	if err != nil {
		return nil, err
	}
	out := []int{}
	for i, d := range shape {
		switch {
		case !given && d == 1:
		case drop[i] && d == 1:
		case drop[i]:
			return nil, fmt.Errorf("axis %d of %v is not 1", i, shape)
		default:
			out = append(out, d)
		}
	}
	return out, nil
}

// reshapedBy builds Squeeze or Unsqueeze: the same elements under the shape that follows
// from the axes. given reports whether the node has any.
func reshapedBy[T kernel.Float](
	n *node, shapeOf func(shape []int, axes []int64, given bool) ([]int, error),
) (compute[T], error) {
	axesOf := axesSource[T](n, 13)
	return func(_ *exec[T], in []*Tensor[T]) ([]*Tensor[T], error) {
		axes, given, err := axesOf(in[1])
		if err != nil {
			return nil, err
		}
		shape, err := shapeOf(in[0].Shape, axes, given)
		if err != nil {
			return nil, err
		}
		return []*Tensor[T]{in[0].reshaped(shape)}, nil
	}, nil
}

// axesSource returns where an operator finds its axes: the attribute before the
// version in which they became an input, the input since.
func axesSource[T kernel.Float](n *node, since int64) func(input *Tensor[T]) (axes []int64, given bool, err error) {
	if n.version < since {
		axes, given := n.ints("axes"), n.has("axes")
		if n.Input(1) != "" {
			n.refuse("version %d takes its axes as an attribute, not an input", n.version)
		}
		return func(*Tensor[T]) ([]int64, bool, error) { return axes, given, nil }
	}
	return func(input *Tensor[T]) ([]int64, bool, error) {
		if input == nil {
			return nil, false, nil
		}
		axes, err := intVector("axes", input)
		return axes, true, err
	}
}
