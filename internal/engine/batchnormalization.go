package engine

import (
	"errors"
	"fmt"
	"math"

	"efcn/internal/kernel"
)

// BatchNormalization (https://onnx.ai/onnx/operators/onnx__BatchNormalization.html)
// at inference: (x − mean)·scale/√(var+epsilon) + B per channel, axis 1. Training
// mode, and spatial 0 of version 7, are refused.
func init() {
	register(operator{name: "BatchNormalization", limits: "inference; spatial 0 is refused", versions: []int64{1, 6, 7, 9, 14, 15}, inputs: "fffff", required: 5},
		batchNormalization[float32], batchNormalization[float64])
}

func batchNormalization[T kernel.Float](n *node) (compute[T], error) {
	epsilon := n.float("epsilon", 1e-5)
	n.ignore("momentum")
	if n.version >= 14 && n.flag("training_mode", false) {
		n.refuse("training_mode is set; export the model for inference")
	}
	if n.version < 9 && !n.flag("spatial", true) {
		n.refuse("attribute spatial: 0 is not supported; 1 is")
	}
	n.follow = follower[T](func(y *Tensor[T], in []*Tensor[T]) kernel.Then[T] {
		channels := y.Shape[1]
		for _, p := range in[1:] {
			if p == nil || len(p.Shape) != 1 || len(p.F) != channels {
				return nil
			}
		}
		factor, offset := normalization(in, epsilon)
		inner := product(y.Shape[2:])
		return func(at int, part []T) {
			c := at / inner % channels
			kernel.ScaleShift(part, part, factor[c], offset[c])
		}
	})
	return func(x *exec[T], in []*Tensor[T]) ([]*Tensor[T], error) {
		v := in[0]
		if len(v.Shape) == 0 {
			return nil, errors.New("input is a scalar; want batch and channels")
		}
		channels := 1
		if len(v.Shape) > 1 {
			channels = v.Shape[1]
		}
		for i, p := range in[1:] {
			if len(p.Shape) != 1 || p.Shape[0] != channels {
				return nil, fmt.Errorf("input %d has shape %v; want [%d], one number a channel", i+1, p.Shape, channels)
			}
		}
		y, err := x.over(v)
		if err != nil {
			return nil, err
		}
		if len(y.F) == 0 {
			return []*Tensor[T]{y}, nil
		}
		factor, offset := normalization(in, epsilon)
		inner := len(v.F) / (v.Shape[0] * channels)
		kernel.Parallel(v.Shape[0]*channels, max(1, rowGrain/inner), func(lo, hi int) {
			for k := lo; k < hi; k++ {
				kernel.ScaleShift(y.F[k*inner:(k+1)*inner], v.F[k*inner:(k+1)*inner], factor[k%channels], offset[k%channels])
			}
		})
		return []*Tensor[T]{y}, nil
	}, nil
}

// normalization returns what each channel is multiplied by and what is added
// then, from scale, B, mean and var.
func normalization[T kernel.Float](in []*Tensor[T], epsilon float64) (factor, offset []T) {
	scale, b, mean, variance := in[1].F, in[2].F, in[3].F, in[4].F
	factor, offset = make([]T, len(scale)), make([]T, len(scale))
	for c := range scale {
		f := float64(scale[c]) / math.Sqrt(float64(variance[c])+epsilon)
		factor[c] = T(f)
		offset[c] = T(float64(b[c]) - float64(mean[c])*f)
	}
	return factor, offset
}
