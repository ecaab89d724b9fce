package engine

import (
	"math"

	"efcn/internal/kernel"
	"efcn/onnxio"
)

// Pow (https://onnx.ai/onnx/operators/onnx__Pow.html): the result has the type
// of the base; since version 12 the exponent may have another.
func init() {
	register(operator{name: "Pow", inputs: "nn"}, pow[float32], pow[float64])
}

func pow[T kernel.Float](*node) (compute[T], error) {
	return func(x *exec[T], in []*Tensor[T]) ([]*Tensor[T], error) {
		base, exponent := in[0], in[1]
		shape, err := broadcastShape(base.Shape, exponent.Shape)
		if err != nil {
			return nil, err
		}
		y, err := x.alloc(base.Type, shape)
		if err != nil {
			return nil, err
		}
		if !base.Type.IsFloat() && !exponent.Type.IsFloat() {
			zip(y.I, shape, base.I, base.Shape, exponent.I, exponent.Shape, rows(intPow))
			wrap(y.Type, y.I)
			return []*Tensor[T]{y}, nil
		}
		a, b := floatsOf(base), floatsOf(exponent)
		out := y.F
		if out == nil {
			out = make([]T, len(y.I))
		}
		zip(out, shape, a, base.Shape, b, exponent.Shape, powRow[T])
		if y.F == nil {
			castToInt(y.I, out, y.Type)
		}
		return []*Tensor[T]{y}, nil
	}, nil
}

// floatsOf returns the elements as numbers of the engine's precision.
func floatsOf[T kernel.Float](t *Tensor[T]) []T {
	if t.Type.IsFloat() {
		return t.F
	}
	out := make([]T, len(t.I))
	for i, v := range t.I {
		if t.Type == onnxio.Uint64 {
			out[i] = T(uint64(v))
		} else {
			out[i] = T(v)
		}
	}
	return out
}

func powRow[T kernel.Float](dst, a, b []T) {
	if len(b) == 1 && len(a) == len(dst) {
		switch b[0] {
		case 2:
			for i, v := range a {
				dst[i] = v * v
			}
			return
		case 0.5:
			for i, v := range a {
				dst[i] = T(math.Sqrt(float64(v)))
			}
			return
		}
	}
	rows(func(a, b T) T { return T(math.Pow(float64(a), float64(b))) })(dst, a, b)
}

// intPow is a^b by squaring, wrapping; a negative exponent truncates towards
// zero, as 1/a^-b does.
func intPow(a, b int64) int64 {
	if b < 0 {
		switch {
		case a == 1 || a == -1 && b%2 == 0:
			return 1
		case a == -1:
			return -1
		default:
			return 0
		}
	}
	r := int64(1)
	for ; b > 0; b >>= 1 {
		if b&1 == 1 {
			r *= a
		}
		a *= a
	}
	return r
}
