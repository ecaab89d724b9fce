package engine

import (
	"errors"
	"math"
	"slices"

	"efcn/internal/kernel"
)

// Mod (https://onnx.ai/onnx/operators/onnx__Mod.html): with fmod the remainder has
// the dividend's sign, as in C; without, the divisor's, as in Python.
func init() {
	register(operator{name: "Mod", inputs: "nn"}, mod[float32], mod[float64])
}

func mod[T kernel.Float](n *node) (compute[T], error) {
	fmod := n.flag("fmod", false)
	floats := func(a, b T) T {
		r := math.Mod(float64(a), float64(b))
		if !fmod && r != 0 && (r < 0) != (b < 0) {
			r += float64(b)
		}
		return T(r)
	}
	ints := func(a, b int64) int64 {
		if b == -1 {
			return 0
		}
		r := a % b
		if !fmod && r != 0 && (r < 0) != (b < 0) {
			r += b
		}
		return r
	}
	version := n.version
	return func(x *exec[T], in []*Tensor[T]) ([]*Tensor[T], error) {
		a, b := in[0], in[1]
		if a.Type.IsFloat() && !fmod && version < 28 {
			return nil, errors.New("floating-point operands need fmod 1")
		}
		if slices.Contains(b.I, 0) {
			return nil, errors.New("integer division by zero")
		}
		y, err := x.broadcast(a, b)
		if err != nil {
			return nil, err
		}
		switch {
		case a.Type.IsFloat():
			zip(y.F, y.Shape, a.F, a.Shape, b.F, b.Shape, rows(floats))
		case isUnsigned(a.Type):
			zip(unsigned(y.I), y.Shape, unsigned(a.I), a.Shape, unsigned(b.I), b.Shape,
				rows(func(a, b uint64) uint64 { return a % b }))
		default:
			zip(y.I, y.Shape, a.I, a.Shape, b.I, b.Shape, rows(ints))
		}
		return []*Tensor[T]{y}, nil
	}, nil
}
