package engine

import (
	"math"

	"efcn/internal/kernel"
)

// LpPool (https://onnx.ai/onnx/operators/onnx__LpPool.html): the p-norm of each
// window, padding counting as zeros. The sums are a convolution with ones.
func init() {
	register(operator{name: "LpPool", limits: "1 to 3 spatial axes", inputs: "f"}, lpPool[float32], lpPool[float64])
}

func lpPool[T kernel.Float](n *node) (compute[T], error) {
	n.need("kernel_shape")
	w := windowOf(n, n.version >= 18, n.version >= 18)
	p := float64(n.int("p", 2))
	if p < 1 {
		n.refuse("attribute p: want at least 1, got %v", p)
	}
	return func(x *exec[T], in []*Tensor[T]) ([]*Tensor[T], error) {
		v := in[0]
		y, g, err := x.pooled(v, w)
		if err != nil || len(y.F) == 0 {
			return one(y, err)
		}
		powers, err := x.apply(v, each(func(v T) T { return T(math.Pow(math.Abs(float64(v)), p)) }))
		if err != nil {
			return nil, err
		}
		ones, err := x.alloc(v.Type, g.Kernel)
		if err != nil {
			return nil, err
		}
		for i := range ones.F {
			ones.F[i] = 1
		}
		c := kernel.Conv[T]{Groups: 1, InChannels: 1, OutChannels: 1, Window: g}
		c.Forward(v.Shape[0]*v.Shape[1], powers.F, ones.F, nil, y.F)
		return one(x.apply(y, each(func(v T) T { return T(math.Pow(float64(v), 1/p)) })))
	}, nil
}
