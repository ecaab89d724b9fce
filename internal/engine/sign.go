package engine

import (
	"math"

	"efcn/internal/kernel"
)

// Abs, Neg and Sign, of floating-point and integer values.
func init() {
	register(operator{name: "Abs", inputs: "n"},
		signed(absolute[float32], absolute[int64]), signed(absolute[float64], absolute[int64]))
	register(operator{name: "Neg", inputs: "n"},
		signed(negative[float32], negative[int64]), signed(negative[float64], negative[int64]))
	register(operator{name: "Sign", inputs: "n"},
		signed(sign[float32], sign[int64]), signed(sign[float64], sign[int64]))
}

func signed[T kernel.Float](f func(T) T, g func(int64) int64) builder[T] {
	row := each(f)
	return func(*node) (compute[T], error) {
		return func(x *exec[T], in []*Tensor[T]) ([]*Tensor[T], error) {
			v := in[0]
			if v.Type.IsFloat() {
				return one(x.apply(v, row))
			}
			y, err := x.like(v)
			if err != nil {
				return nil, err
			}
			for i, e := range v.I {
				if isUnsigned(v.Type) && e < 0 { // a uint64 past 2^63: none of the three sees a negative
					e = math.MaxInt64
				}
				y.I[i] = g(e)
			}
			wrap(v.Type, y.I)
			return []*Tensor[T]{y}, nil
		}, nil
	}
}

func absolute[E kernel.Float | int64](v E) E {
	if v < 0 {
		return -v
	}
	return v + 0 // -0 becomes 0
}

func negative[E kernel.Float | int64](v E) E { return -v }

// sign keeps NaN.
func sign[E kernel.Float | int64](v E) E {
	switch {
	case v > 0:
		return 1
	case v < 0:
		return -1
	default:
		return v
	}
}
