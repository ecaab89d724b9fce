package engine

import (
	"fmt"
	"math"

	"efcn/internal/kernel"
)

// GlobalAveragePool, GlobalMaxPool and GlobalLpPool
// (https://onnx.ai/onnx/operators/onnx__GlobalAveragePool.html): every spatial
// axis becomes 1.
func init() {
	register(operator{name: "GlobalAveragePool", inputs: "f"},
		globalPool(meanOf[float32], kernel.GlobalAverageLast[float32]),
		globalPool(meanOf[float64], kernel.GlobalAverageLast[float64]))
	register(operator{name: "GlobalMaxPool", inputs: "f"},
		globalPool(maxOf[float32], nil), globalPool(maxOf[float64], nil))
	register(operator{name: "GlobalLpPool", inputs: "f"}, globalLpPool[float32], globalLpPool[float64])
}

// globalPool makes the builder of what f makes of a plane. last is nil, or does that where
// the channels are the last axis.
func globalPool[T kernel.Float](f func([]T) T, last func(n, channels, size int, x, y []T)) builder[T] {
	return func(n *node) (compute[T], error) {
		n.eitherLayout = last != nil
		return func(x *exec[T], in []*Tensor[T]) ([]*Tensor[T], error) {
			v := in[0]
			if len(v.Shape) < 2 {
				return nil, fmt.Errorf("input has shape %v; want batch, channels and spatial axes", v.Shape)
			}
			shape := append([]int{}, v.Shape[:2]...)
			for range v.Shape[2:] {
				shape = append(shape, 1)
			}
			inner := product(v.Shape[2:])
			if inner == 0 {
				return nil, fmt.Errorf("input of shape %v has nothing to pool", v.Shape)
			}
			y, err := x.fresh(v.Type, shape)
			if err != nil {
				return nil, err
			}
			if v.last {
				last(v.Shape[0], v.Shape[1], inner, v.F, y.F)
				return []*Tensor[T]{y}, nil
			}
			onLines(y.F, v.F, len(y.F), inner, 1, 1, func(dst, src []T) { dst[0] = f(src) })
			return []*Tensor[T]{y}, nil
		}, nil
	}
}

func globalLpPool[T kernel.Float](n *node) (compute[T], error) {
	p := float64(n.int("p", 2))
	if p < 1 {
		n.refuse("attribute p: want 1 or more, got %v", p)
	}
	return globalPool(func(v []T) T { return lpNorm(v, p) }, nil)(n)
}

// lpNorm is (Σ|v|^p)^(1/p).
func lpNorm[T kernel.Float](v []T, p float64) T {
	switch p {
	case 1:
		return l1Of(v)
	case 2:
		return l2Of(v)
	}
	s := 0.0
	for _, e := range v {
		s += math.Pow(math.Abs(float64(e)), p)
	}
	return T(math.Pow(s, 1/p))
}
