package engine

import (
	"math"

	"efcn/internal/kernel"
)

// LpNormalization (https://onnx.ai/onnx/operators/onnx__LpNormalization.html)
// divides by the 1- or 2-norm along an axis (zeros stay), and
// MeanVarianceNormalization brings chosen axes to mean 0 and variance 1.
func init() {
	register(operator{name: "LpNormalization", inputs: "f"}, lpNormalization[float32], lpNormalization[float64])
	register(operator{name: "MeanVarianceNormalization", inputs: "f"}, meanVariance[float32], meanVariance[float64])
}

func lpNormalization[T kernel.Float](n *node) (compute[T], error) {
	axis, p := n.int("axis", -1), n.int("p", 2)
	if p != 1 && p != 2 {
		n.refuse("attribute p: want 1 or 2, got %d", p)
	}
	return func(x *exec[T], in []*Tensor[T]) ([]*Tensor[T], error) {
		v := in[0]
		y, outer, n, inner, err := x.alongAxis(v, axis)
		if err != nil {
			return nil, err
		}
		onLines(y.F, v.F, outer, n, n, inner, func(dst, src []T) {
			norm := lpNorm(src, float64(p))
			for i, e := range src {
				dst[i] = 0
				if norm != 0 {
					dst[i] = e / norm
				}
			}
		})
		return []*Tensor[T]{y}, nil
	}, nil
}

func meanVariance[T kernel.Float](n *node) (compute[T], error) {
	axes := n.ints("axes")
	if axes == nil {
		axes = []int64{0, 2, 3}
	}
	return func(x *exec[T], in []*Tensor[T]) ([]*Tensor[T], error) {
		v := in[0]
		reduced, err := axisSet(axes, len(v.Shape))
		if err != nil {
			return nil, err
		}
		y, err := x.like(v)
		if err != nil || len(y.F) == 0 {
			return one(y, err)
		}
		r := newReducer(v.Shape, reduced, true)
		kernel.Parallel(len(r.starts), max(1, rowGrain/r.n), func(lo, hi int) {
			list := make([]T, r.n)
			for _, start := range r.starts[lo:hi] {
				for j := range list {
					list[j] = v.F[r.source(start, j)]
				}
				mean, variance := moments(list)
				deviation := math.Sqrt(variance) + 1e-9 // as the function that defines the operator
				for j, e := range list {
					y.F[r.source(start, j)] = T((float64(e) - mean) / deviation)
				}
			}
		})
		return []*Tensor[T]{y}, nil
	}, nil
}
