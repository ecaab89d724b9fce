package engine

import (
	"errors"
	"fmt"
	"math"

	"efcn/internal/kernel"
	"efcn/onnxio"
)

// Trilu (https://onnx.ai/onnx/operators/onnx__Trilu.html) keeps the upper or lower
// triangle of matrices, from their k-th diagonal, and EyeLike makes a matrix with
// ones on that diagonal.
func init() {
	register(operator{name: "Trilu", inputs: "vi"}, trilu[float32], trilu[float64])
	register(operator{name: "EyeLike", inputs: "v"}, eyeLike[float32], eyeLike[float64])
}

func trilu[T kernel.Float](n *node) (compute[T], error) {
	upper := n.flag("upper", true)
	return func(x *exec[T], in []*Tensor[T]) ([]*Tensor[T], error) {
		v, k := in[0], int64(0)
		if in[1] != nil {
			if in[1].Len() != 1 {
				return nil, errors.New("k: want one number")
			}
			k = max(-math.MaxInt32, min(in[1].I[0], math.MaxInt32))
		}
		rank := len(v.Shape)
		if rank < 2 {
			return nil, fmt.Errorf("input has shape %v; want matrices", v.Shape)
		}
		y, err := x.like(v)
		if err != nil {
			return nil, err
		}
		h, w := v.Shape[rank-2], v.Shape[rank-1]
		for i := range v.Len() {
			row, column := int64(i/w%h), int64(i%w)
			if upper && column < row+k || !upper && column > row+k {
				continue
			}
			if v.Type.IsFloat() {
				y.F[i] = v.F[i]
			} else {
				y.I[i] = v.I[i]
			}
		}
		return []*Tensor[T]{y}, nil
	}, nil
}

func eyeLike[T kernel.Float](n *node) (compute[T], error) {
	t, k := n.dataType("dtype", onnxio.Undefined), n.int("k", 0)
	return func(x *exec[T], in []*Tensor[T]) ([]*Tensor[T], error) {
		v, to := in[0], t
		if len(v.Shape) != 2 {
			return nil, fmt.Errorf("input has shape %v; want a matrix", v.Shape)
		}
		if to == onnxio.Undefined {
			to = v.Type
		}
		y, err := x.alloc(to, v.Shape)
		if err != nil {
			return nil, err
		}
		for i := range v.Shape[0] {
			column := int64(i) + k
			if column < 0 || column >= int64(v.Shape[1]) {
				continue
			}
			if to.IsFloat() {
				y.F[i*v.Shape[1]+int(column)] = 1
			} else {
				y.I[i*v.Shape[1]+int(column)] = 1
			}
		}
		return []*Tensor[T]{y}, nil
	}, nil
}
