package engine

import (
	"fmt"

	"efcn/internal/kernel"
	"efcn/onnxio"
)

// ConstantOfShape (https://onnx.ai/onnx/operators/onnx__ConstantOfShape.html):
// a tensor of the given shape filled with one value, float32 zero by default.
func init() {
	register(operator{name: "ConstantOfShape", inputs: "i"}, constantOfShape[float32], constantOfShape[float64])
}

func constantOfShape[T kernel.Float](n *node) (compute[T], error) {
	v := &Tensor[T]{Type: onnxio.Float32, Shape: []int{1}, F: []T{0}}
	if t := n.tensor("value"); t != nil {
		var err error
		if v, err = FromONNX[T](t); err != nil {
			return nil, fmt.Errorf("attribute value: %w", err)
		}
		if v.Len() != 1 {
			return nil, fmt.Errorf("attribute value: want one element, got shape %v", v.Shape)
		}
	}
	return func(x *exec[T], in []*Tensor[T]) ([]*Tensor[T], error) {
		shape, err := dimsVector("shape", in[0])
		if err != nil {
			return nil, err
		}
		y, err := x.alloc(v.Type, shape)
		if err != nil {
			return nil, err
		}
		for i := range y.F {
			y.F[i] = v.F[0]
		}
		for i := range y.I {
			y.I[i] = v.I[0]
		}
		return []*Tensor[T]{y}, nil
	}, nil
}
