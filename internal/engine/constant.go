package engine

import (
	"fmt"

	"efcn/internal/kernel"
	"efcn/onnxio"
)

// Constant (https://onnx.ai/onnx/operators/onnx__Constant.html). Strings are not
// supported.
func init() {
	register(operator{name: "Constant", limits: "no strings"}, constantOf[float32], constantOf[float64])
}

func constantOf[T kernel.Float](n *node) (compute[T], error) {
	if len(n.Attributes) != 1 {
		return nil, fmt.Errorf("%d attributes; want the one that holds the value", len(n.Attributes))
	}
	a := n.Attributes[0]
	n.ignore(a.Name)
	var v *Tensor[T]
	var err error
	switch a.Name {
	case "value":
		if a.T == nil {
			return nil, fmt.Errorf("attribute value: want tensor, got %s", a.Type)
		}
		v, err = FromONNX[T](a.T)
	case "sparse_value":
		if a.Sparse == nil {
			return nil, fmt.Errorf("attribute sparse_value: want sparse_tensor, got %s", a.Type)
		}
		v, err = fromSparse[T](a.Sparse)
	case "value_float":
		v = &Tensor[T]{Type: onnxio.Float32, Shape: []int{}, F: []T{T(a.F)}}
	case "value_floats":
		v = &Tensor[T]{Type: onnxio.Float32, Shape: []int{len(a.Floats)}, F: make([]T, len(a.Floats))}
		for i, f := range a.Floats {
			v.F[i] = T(f)
		}
	case "value_int":
		v = &Tensor[T]{Type: onnxio.Int64, Shape: []int{}, I: []int64{a.I}}
	case "value_ints":
		v = &Tensor[T]{Type: onnxio.Int64, Shape: []int{len(a.Ints)}, I: a.Ints}
	default:
		return nil, fmt.Errorf("attribute %s is not supported; numbers are", a.Name)
	}
	if err != nil {
		return nil, fmt.Errorf("attribute %s: %w", a.Name, err)
	}
	return func(*exec[T], []*Tensor[T]) ([]*Tensor[T], error) { return []*Tensor[T]{v}, nil }, nil
}
