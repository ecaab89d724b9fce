package engine

import (
	"fmt"

	"efcn/internal/kernel"
)

// Clip (https://onnx.ai/onnx/operators/onnx__Clip.html). The bounds are
// attributes before version 11 and scalar inputs since. Where they cross, the
// upper one wins.
func init() {
	register(operator{name: "Clip", versions: []int64{1, 6, 11, 12, 13}, inputs: "nnn", required: 1}, clip[float32], clip[float64])
}

func clip[T kernel.Float](n *node) (compute[T], error) {
	if n.version < 11 {
		if len(n.Inputs) > 1 {
			n.refuse("version %d takes its bounds as attributes, not inputs", n.version)
		}
		lower, upper := T(n.float("min", -3.4028234663852886e38)), T(n.float("max", 3.4028234663852886e38))
		hasLower, hasUpper := n.has("min"), n.has("max")
		return func(x *exec[T], in []*Tensor[T]) ([]*Tensor[T], error) {
			if !in[0].Type.IsFloat() {
				return nil, fmt.Errorf("%s needs opset 12", in[0].Type)
			}
			return one(x.apply(in[0], clipRow(lower, upper, hasLower, hasUpper)))
		}, nil
	}
	return func(x *exec[T], in []*Tensor[T]) ([]*Tensor[T], error) {
		v, lower, upper := in[0], in[1], in[2]
		for _, bound := range []*Tensor[T]{lower, upper} {
			if bound != nil && (bound.Len() != 1 || bound.Type != v.Type) {
				return nil, fmt.Errorf("a bound is %s of shape %v; want a %s scalar", bound.Type, bound.Shape, v.Type)
			}
		}
		if v.Type.IsFloat() {
			var lo, hi T
			if lower != nil {
				lo = lower.F[0]
			}
			if upper != nil {
				hi = upper.F[0]
			}
			return one(x.apply(v, clipRow(lo, hi, lower != nil, upper != nil)))
		}
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
		return []*Tensor[T]{y}, nil
	}, nil
}

// clipRow keeps NaN: no comparison with it holds.
func clipRow[E number](lo, hi E, hasLo, hasHi bool) func(dst, src []E) {
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
