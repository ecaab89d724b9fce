package engine

import (
	"math"

	"efcn/internal/kernel"
	"efcn/onnxio"
)

// IsNaN and IsInf (https://onnx.ai/onnx/operators/onnx__IsInf.html) to bool.
func init() {
	register(operator{name: "IsNaN", inputs: "f"}, isNaN[float32], isNaN[float64])
	register(operator{name: "IsInf", inputs: "f"}, isInf[float32], isInf[float64])
}

func isNaN[T kernel.Float](*node) (compute[T], error) {
	return test(func(v T) bool { return v != v }), nil
}

func isInf[T kernel.Float](n *node) (compute[T], error) {
	up, down := n.flag("detect_positive", true), n.flag("detect_negative", true)
	return test(func(v T) bool {
		return up && math.IsInf(float64(v), 1) || down && math.IsInf(float64(v), -1)
	}), nil
}

func test[T kernel.Float](f func(T) bool) compute[T] {
	return func(x *exec[T], in []*Tensor[T]) ([]*Tensor[T], error) {
		y, err := x.alloc(onnxio.Bool, in[0].Shape)
		if err != nil {
			return nil, err
		}
		for i, v := range in[0].F {
			y.I[i] = truth(f(v))
		}
		return []*Tensor[T]{y}, nil
	}
}
