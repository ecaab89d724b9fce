package engine

import (
	"fmt"
	"math"
	"slices"

	"efcn/internal/kernel"
	"efcn/onnxio"
)

// LayerNormalization and RMSNormalization
// (https://onnx.ai/onnx/operators/onnx__LayerNormalization.html): the axes from
// axis on are brought to mean 0 and variance 1 (RMS: to mean square 1), then scaled
// and shifted. Mean and InvStdDev are given where asked for.
func init() {
	register(operator{name: "LayerNormalization", inputs: "fff"}, layerNormalization[float32](true),
		layerNormalization[float64](true))
	register(operator{name: "RMSNormalization", inputs: "ff"}, layerNormalization[float32](false),
		layerNormalization[float64](false))
}

func layerNormalization[T kernel.Float](centred bool) builder[T] {
	return func(n *node) (compute[T], error) {
		axis, epsilon := n.int("axis", -1), n.float("epsilon", 1e-5)
		n.ignore("stash_type") // at least the engine's precision
		return func(x *exec[T], in []*Tensor[T]) ([]*Tensor[T], error) {
			v := in[0]
			a, err := axisIndex(axis, len(v.Shape))
			if err != nil {
				return nil, err
			}
			var params [2][]T
			for i, p := range in[1:] {
				if p != nil {
					if params[i], err = x.spread(p, v.Shape[a:]); err != nil {
						return nil, fmt.Errorf("input %d: %w", i+1, err)
					}
				}
			}
			y, err := x.like(v)
			if err != nil {
				return nil, err
			}
			shape := slices.Clone(v.Shape)
			for i := a; i < len(shape); i++ {
				shape[i] = 1
			}
			mean, err := x.alloc(onnxio.Float32, shape)
			if err != nil {
				return nil, err
			}
			inverse, err := x.alloc(onnxio.Float32, shape)
			if err != nil || len(y.F) == 0 {
				return []*Tensor[T]{y, mean, inverse}, err
			}
			size := product(v.Shape[a:])
			kernel.Parallel(len(mean.F), max(1, rowGrain/size), func(lo, hi int) {
				for k := lo; k < hi; k++ {
					src, dst := v.F[k*size:(k+1)*size], y.F[k*size:(k+1)*size]
					m, s := 0.0, 0.0
					if centred {
						m, s = moments(src)
					} else {
						s = squares(src) / float64(size)
					}
					inv := 1 / math.Sqrt(s+epsilon)
					mean.F[k], inverse.F[k] = T(m), T(inv)
					for i, e := range src {
						r := (float64(e) - m) * inv * float64(params[0][i])
						if params[1] != nil {
							r += float64(params[1][i])
						}
						dst[i] = T(r)
					}
				}
			})
			return []*Tensor[T]{y, mean, inverse}, nil
		}, nil
	}
}

// spread returns the elements of p broadcast to shape.
func (x *exec[T]) spread(p *Tensor[T], shape []int) ([]T, error) {
	if slices.Equal(p.Shape, shape) {
		return p.F, nil
	}
	if to, err := broadcastShape(p.Shape, shape); err != nil || !slices.Equal(to, shape) {
		return nil, fmt.Errorf("shape %v does not broadcast to %v", p.Shape, shape)
	}
	out, err := x.alloc(p.Type, shape)
	if err != nil {
		return nil, err
	}
	copyWalk(out.F, p.F, broadcastWalk(p.Shape, shape))
	return out.F, nil
}
