package engine

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"efcn/internal/kernel"
)

// BatchNormalization (https://onnx.ai/onnx/operators/onnx__BatchNormalization.html)
// is (x − mean)·scale/√(var+epsilon) + B per channel, axis 1. In training mode
// (training_mode 1; before version 14, more outputs than one) mean and var are those
// of the batch, and the running ones are outputs. Spatial 0 of version 7 is refused.
func init() {
	register(operator{name: "BatchNormalization", limits: "spatial 0 is refused", inputs: "fffff"},
		batchNormalization[float32], batchNormalization[float64])
}

func batchNormalization[T kernel.Float](n *node) (compute[T], error) {
	epsilon := n.float("epsilon", 1e-5)
	momentum := n.float("momentum", 0.9)
	named := func(name string) bool { return name != "" }
	extra := len(n.Outputs) > 1 && slices.ContainsFunc(n.Outputs[1:], named)
	training := extra
	if n.version >= 14 {
		training = n.flag("training_mode", false)
		if extra && !training || len(n.Outputs) > 3 && slices.ContainsFunc(n.Outputs[3:], named) {
			n.refuse("outputs %q; want one, or up to three with training_mode", n.Outputs)
		}
	}
	if n.version < 9 && !n.flag("spatial", true) {
		n.refuse("attribute spatial: 0 is not supported; 1 is")
	}
	if training {
		return checkedNormalization(func(x *exec[T], in []*Tensor[T], y *Tensor[T], channels int) ([]*Tensor[T],
			error,
		) {
			return trained(x, in, y, channels, epsilon, momentum)
		}), nil
	}
	n.affine = affine[T](func(in []*Tensor[T]) (factor, offset []float64) {
		for _, p := range in[1:] {
			if p == nil || len(p.Shape) != 1 || len(p.F) != len(in[1].F) {
				return nil, nil
			}
		}
		return normalization(in, epsilon)
	})
	n.follow = follower[T](func(y *Tensor[T], in []*Tensor[T]) kernel.Then[T] {
		channels := y.Shape[1]
		for _, p := range in[1:] {
			if p == nil || len(p.Shape) != 1 || len(p.F) != channels {
				return nil
			}
		}
		factor, offset := roundedNormalization(in, epsilon)
		inner := product(y.Shape[2:])
		return func(at int, part []T) {
			c := at / inner % channels
			kernel.ScaleShift(part, part, factor[c], offset[c])
		}
	})
	return checkedNormalization(func(_ *exec[T], in []*Tensor[T], y *Tensor[T], channels int) ([]*Tensor[T], error) {
		if len(y.F) == 0 {
			return []*Tensor[T]{y}, nil
		}
		factor, offset := roundedNormalization(in, epsilon)
		scaleChannels(y, in[0], channels, factor, offset)
		return []*Tensor[T]{y}, nil
	}), nil
}

// checkedNormalization calls then with the memory for the result and the number of
// channels, once the inputs fit each other.
func checkedNormalization[T kernel.Float](then func(x *exec[T], in []*Tensor[T], y *Tensor[T],
	channels int) ([]*Tensor[T], error),
) compute[T] {
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
		return then(x, in, y, channels)
	}
}

// scaleChannels computes y = v·factor + offset per channel.
func scaleChannels[T kernel.Float](y, v *Tensor[T], channels int, factor, offset []T) {
	inner := len(v.F) / (v.Shape[0] * channels)
	kernel.Parallel(v.Shape[0]*channels, max(1, rowGrain/inner), func(lo, hi int) {
		for k := lo; k < hi; k++ {
			kernel.ScaleShift(y.F[k*inner:(k+1)*inner], v.F[k*inner:(k+1)*inner], factor[k%channels],
				offset[k%channels])
		}
	})
}

// trained normalises by the mean and variance of the batch itself, the variance
// divided by the number of elements, summed up in float64. It returns y, what the
// running mean and variance become, running·momentum + batch·(1−momentum), and
// the mean and variance of the batch.
func trained[T kernel.Float](x *exec[T], in []*Tensor[T], y *Tensor[T], channels int, epsilon,
	momentum float64,
) ([]*Tensor[T], error) {
	v := in[0]
	if len(v.F) == 0 {
		return nil, fmt.Errorf("input of shape %v has no elements to take a mean of", v.Shape)
	}
	results := []*Tensor[T]{y}
	for range 4 {
		r, err := x.fresh(in[3].Type, []int{channels})
		if err != nil {
			return nil, err
		}
		results = append(results, r)
	}
	inner := len(v.F) / (v.Shape[0] * channels)
	count := float64(v.Shape[0] * inner)
	factor, offset := make([]T, channels), make([]T, channels)
	for c := range channels {
		each := func(visit func(e float64)) {
			for b := range v.Shape[0] {
				for _, e := range v.F[(b*channels+c)*inner:][:inner] {
					visit(float64(e))
				}
			}
		}
		sum, squares := 0.0, 0.0
		each(func(e float64) { sum += e })
		mean := sum / count
		each(func(e float64) { squares += (e - mean) * (e - mean) })
		variance := squares / count
		f := float64(in[1].F[c]) / math.Sqrt(variance+epsilon)
		factor[c], offset[c] = T(f), T(float64(in[2].F[c])-mean*f)
		for i, of := range []float64{
			float64(in[3].F[c])*momentum + mean*(1-momentum),
			float64(in[4].F[c])*momentum + variance*(1-momentum),
			mean, variance,
		} {
			results[i+1].F[c] = T(of)
		}
	}
	scaleChannels(y, v, channels, factor, offset)
	return results, nil
}

// normalization returns what each channel is multiplied by and what is added
// then, from scale, B, mean and var.
func normalization[T kernel.Float](in []*Tensor[T], epsilon float64) (factor, offset []float64) {
	scale, b, mean, variance := in[1].F, in[2].F, in[3].F, in[4].F
	factor, offset = make([]float64, len(scale)), make([]float64, len(scale))
	for c := range scale {
		f := float64(scale[c]) / math.Sqrt(float64(variance[c])+epsilon)
		factor[c] = f
		offset[c] = float64(b[c]) - float64(mean[c])*f
	}
	return factor, offset
}

// roundedNormalization is normalization at the precision of the values.
func roundedNormalization[T kernel.Float](in []*Tensor[T], epsilon float64) (factor, offset []T) {
	f, o := normalization(in, epsilon)
	factor, offset = make([]T, len(f)), make([]T, len(f))
	for c := range f {
		factor[c], offset[c] = T(f[c]), T(o[c])
	}
	return factor, offset
}
