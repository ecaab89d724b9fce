package engine

import (
	"fmt"
	"math"

	"efcn/internal/kernel"
)

// Clip (https://onnx.ai/onnx/operators/onnx__Clip.html). The bounds are
// attributes before version 11 and scalar inputs since. Where they cross, the
// upper one wins.
func init() {
	register(operator{name: "Clip", inputs: "nnn"}, clip[float32], clip[float64])
}

func clip[T kernel.Float](n *node) (compute[T], error) {
	if n.version < 11 {
		return clipByAttributes[T](n), nil
	}
	between := bounds[T](func(in []*Tensor[T]) (lo, hi T, ok bool) {
		for _, bound := range in[1:] {
			if bound != nil && len(bound.F) != 1 {
				return 0, 0, false
			}
		}
		if in[0] != nil {
			return 0, 0, false
		}
		lo, hi = floatBounds(in)
		return lo, hi, true
	})
	n.bounds, n.eitherLayout = between, true
	n.follow = follower[T](func(_ *Tensor[T], in []*Tensor[T]) kernel.Then[T] {
		lo, hi, ok := between(in)
		if !ok {
			return nil
		}
		return func(_ int, part []T) { kernel.Clip(part, part, lo, hi) }
	})
	return func(x *exec[T], in []*Tensor[T]) ([]*Tensor[T], error) {
		v := in[0]
		for _, bound := range in[1:] {
			if bound != nil && (bound.Len() != 1 || bound.Type != v.Type) {
				return nil, fmt.Errorf("a bound is %s of shape %v; want a %s scalar", bound.Type, bound.Shape, v.Type)
			}
		}
		if v.Type.IsFloat() {
			lo, hi := floatBounds(in)
			return one(x.apply(v, func(dst, src []T) { kernel.Clip(dst, src, lo, hi) }))
		}
		return one(x.clipIntegers(v, in[1], in[2]))
	}, nil
}

// clipByAttributes is Clip before version 11.
func clipByAttributes[T kernel.Float](n *node) compute[T] {
	if len(n.Inputs) > 1 {
		n.refuse("version %d takes its bounds as attributes, not inputs", n.version)
	}
	lower, upper := T(n.float("min", 0)), T(n.float("max", 0))
	if !n.has("min") {
		lower = T(math.Inf(-1))
	}
	if !n.has("max") {
		upper = T(math.Inf(1))
	}
	row := func(dst, src []T) { kernel.Clip(dst, src, lower, upper) }
	n.follow = mapFollower(row)
	n.bounds, n.eitherLayout = bounds[T](func([]*Tensor[T]) (lo, hi T, ok bool) { return lower, upper, true }), true
	return func(x *exec[T], in []*Tensor[T]) ([]*Tensor[T], error) {
		if !in[0].Type.IsFloat() {
			return nil, fmt.Errorf("%s needs opset 12", in[0].Type)
		}
		return one(x.apply(in[0], row))
	}
}

// clipIntegers clips v to bounds of which either may be nil.
func (x *exec[T]) clipIntegers(v, lower, upper *Tensor[T]) (*Tensor[T], error) {
	y, err := x.like(v)
	if err != nil {
		return nil, err
	}
	var lo, hi int64
	if lower != nil {
		lo = lower.I[0]
	}
	if upper != nil {
		hi = upper.I[0]
	}
	if isUnsigned(v.Type) {
		clipRow(uint64(lo), uint64(hi), lower != nil, upper != nil)(unsigned(y.I), unsigned(v.I))
	} else {
		clipRow(lo, hi, lower != nil, upper != nil)(y.I, v.I)
	}
	return y, nil
}

// floatBounds returns the bounds among the inputs, infinite where left out.
func floatBounds[T kernel.Float](in []*Tensor[T]) (lo, hi T) {
	lo, hi = T(math.Inf(-1)), T(math.Inf(1))
	if in[1] != nil {
		lo = in[1].F[0]
	}
	if in[2] != nil {
		hi = in[2].F[0]
	}
	return lo, hi
}

// clipRow clips integers.
func clipRow[E integer](lo, hi E, hasLo, hasHi bool) func(dst, src []E) {
	return func(dst, src []E) {
		for i, v := range src {
			if hasLo && v < lo {
				v = lo
			}
			if hasHi && v > hi {
				v = hi
			}
			dst[i] = v
		}
	}
}
