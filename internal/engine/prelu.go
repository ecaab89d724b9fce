package engine

import (
	"fmt"
	"slices"

	"efcn/internal/kernel"
)

// PRelu (https://onnx.ai/onnx/operators/onnx__PRelu.html): x where it isn't
// negative, slope·x elsewhere; the slope broadcasts to x and not the other way.
func init() {
	register(operator{name: "PRelu", inputs: "nn"}, prelu[float32], prelu[float64])
}

func prelu[T kernel.Float](*node) (compute[T], error) {
	return func(x *exec[T], in []*Tensor[T]) ([]*Tensor[T], error) {
		v, slope := in[0], in[1]
		y, err := x.broadcast(v, slope)
		if err != nil {
			return nil, err
		}
		if !slices.Equal(y.Shape, v.Shape) {
			return nil, fmt.Errorf("slope of shape %v does not broadcast to %v", slope.Shape, v.Shape)
		}
		if v.Type.IsFloat() {
			zip(y.F, y.Shape, v.F, v.Shape, slope.F, slope.Shape, rows(preluOf[T]))
		} else {
			zip(y.I, y.Shape, v.I, v.Shape, slope.I, slope.Shape, rows(preluOf[int64]))
			wrap(y.Type, y.I)
		}
		return []*Tensor[T]{y}, nil
	}, nil
}

func preluOf[E kernel.Float | int64](v, slope E) E {
	if v < 0 {
		return v * slope
	}
	return v
}
