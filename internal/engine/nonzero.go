package engine

import (
	"efcn/internal/kernel"
	"efcn/onnxio"
)

// NonZero (https://onnx.ai/onnx/operators/onnx__NonZero.html): the coordinates of
// the elements that aren't zero, [rank, count], in row-major order.
func init() {
	register(operator{name: "NonZero", inputs: "v"}, nonZero[float32], nonZero[float64])
}

func nonZero[T kernel.Float](*node) (compute[T], error) {
	return func(x *exec[T], in []*Tensor[T]) ([]*Tensor[T], error) {
		v := in[0]
		var at []int
		for i, e := range v.F {
			if e != 0 {
				at = append(at, i)
			}
		}
		for i, e := range v.I {
			if e != 0 {
				at = append(at, i)
			}
		}
		y, err := x.alloc(onnxio.Int64, []int{len(v.Shape), len(at)})
		if err != nil {
			return nil, err
		}
		for a, s := range stridesOf(v.Shape) {
			for k, i := range at {
				y.I[a*len(at)+k] = int64(i / s % v.Shape[a])
			}
		}
		return []*Tensor[T]{y}, nil
	}, nil
}
