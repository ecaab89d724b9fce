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

func squeeze[T kernel.Float](n *node) (compute[T], error) {
	axesOf := axesSource[T](n, 13)
	return func(_ *exec[T], in []*Tensor[T]) ([]*Tensor[T], error) {
		v := in[0]
		axes, given, err := axesOf(in[1])
		if err != nil {
			return nil, err
		}
		drop, err := axisSet(axes, len(v.Shape))
		if err != nil {
			return nil, err
		}
		shape := []int{}
		for i, d := range v.Shape {
			switch {
			case !given && d == 1:
			case drop[i] && d == 1:
			case drop[i]:
				return nil, fmt.Errorf("axis %d of %v is not 1", i, v.Shape)
			default:
				shape = append(shape, d)
			}
		}
		return []*Tensor[T]{v.reshaped(shape)}, nil
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
