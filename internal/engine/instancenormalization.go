package engine

import (
	"fmt"
	"math"
	"slices"

	"efcn/internal/kernel"
)

// InstanceNormalization and GroupNormalization
// (https://onnx.ai/onnx/operators/onnx__GroupNormalization.html): each image's
// channels, one by one or in groups, are brought to mean 0 and variance 1, then
// scaled and shifted. GroupNormalization has its scale and bias per group in
// version 18, per channel since 21.
func init() {
	register(operator{name: "InstanceNormalization", inputs: "fff"}, instanceNormalization[float32],
		instanceNormalization[float64])
	register(operator{name: "GroupNormalization", inputs: "fff"}, groupNormalization[float32],
		groupNormalization[float64])
}

func instanceNormalization[T kernel.Float](n *node) (compute[T], error) {
	epsilon := n.float("epsilon", 1e-5)
	return func(x *exec[T], in []*Tensor[T]) ([]*Tensor[T], error) {
		if len(in[0].Shape) < 3 {
			return nil, fmt.Errorf("input has shape %v; want batch, channels and spatial axes", in[0].Shape)
		}
		return one(x.groupNorm(in, in[0].Shape[1], false, epsilon))
	}, nil
}

func groupNormalization[T kernel.Float](n *node) (compute[T], error) {
	n.need("num_groups")
	groups, epsilon := n.int("num_groups", 1), n.float("epsilon", 1e-5)
	perGroup := n.version < 21
	if !perGroup {
		n.ignore("stash_type") // at least the engine's precision
	}
	return func(x *exec[T], in []*Tensor[T]) ([]*Tensor[T], error) {
		if len(in[0].Shape) < 2 || groups < 1 || int64(in[0].Shape[1])%groups != 0 {
			return nil, fmt.Errorf("%d groups do not divide the channels of %v", groups, in[0].Shape)
		}
		return one(x.groupNorm(in, int(groups), perGroup, epsilon))
	}, nil
}

// groupNorm normalizes in[0] with the scale in[1] and bias in[2].
func (x *exec[T]) groupNorm(in []*Tensor[T], groups int, perGroup bool, epsilon float64) (*Tensor[T], error) {
	v, scale, bias := in[0], in[1], in[2]
	channels := v.Shape[1]
	want := []int{channels}
	if perGroup {
		want[0] = groups
	}
	if !slices.Equal(scale.Shape, want) || !slices.Equal(bias.Shape, want) {
		return nil, fmt.Errorf("scale %v and bias %v; want %v", scale.Shape, bias.Shape, want)
	}
	y, err := x.like(v)
	if err != nil || len(y.F) == 0 {
		return y, err
	}
	inner := product(v.Shape[2:])
	size := channels / groups * inner // of a group
	kernel.Parallel(v.Shape[0]*groups, max(1, rowGrain/size), func(lo, hi int) {
		for k := lo; k < hi; k++ {
			src, dst := v.F[k*size:(k+1)*size], y.F[k*size:(k+1)*size]
			mean, variance := moments(src)
			inv := 1 / math.Sqrt(variance+epsilon)
			for c := range channels / groups {
				p := k%groups*(channels/groups) + c
				if perGroup {
					p = k % groups
				}
				f, b := float64(scale.F[p])*inv, float64(bias.F[p])
				for i := c * inner; i < (c+1)*inner; i++ {
					dst[i] = T((float64(src[i])-mean)*f + b)
				}
			}
		}
	})
	return y, nil
}

// moments returns mean and variance (divided by the count), in two passes.
func moments[T kernel.Float](v []T) (mean, variance float64) {
	mean = sum64(v) / float64(len(v))
	for _, e := range v {
		d := float64(e) - mean
		variance += d * d
	}
	return mean, variance / float64(len(v))
}
