package engine

import (
	"errors"

	"efcn/internal/kernel"
)

// CumSum and CumProd (https://onnx.ai/onnx/operators/onnx__CumSum.html) along an
// axis; exclusive leaves each element itself out, reverse starts at the end.
func init() {
	register(operator{name: "CumSum", inputs: "ni"},
		cumulate(0, add2[float32], add2[int64]), cumulate(0, add2[float64], add2[int64]))
	register(operator{name: "CumProd", inputs: "ni"},
		cumulate(1, mul2[float32], mul2[int64]), cumulate(1, mul2[float64], mul2[int64]))
}

func add2[E kernel.Float | int64](a, b E) E { return a + b }
func mul2[E kernel.Float | int64](a, b E) E { return a * b }

func cumulate[T kernel.Float](neutral int64, f func(a, b T) T, g func(a, b int64) int64) builder[T] {
	return func(n *node) (compute[T], error) {
		exclusive, reverse := n.flag("exclusive", false), n.flag("reverse", false)
		return func(x *exec[T], in []*Tensor[T]) ([]*Tensor[T], error) {
			v := in[0]
			if in[1].Len() != 1 {
				return nil, errors.New("axis: want one number")
			}
			y, outer, n, inner, err := x.alongAxis(v, in[1].I[0])
			if err != nil {
				return nil, err
			}
			if v.Type.IsFloat() {
				onLines(y.F, v.F, outer, n, n, inner, running(T(neutral), f, exclusive, reverse))
			} else {
				onLines(y.I, v.I, outer, n, n, inner, running(neutral, g, exclusive, reverse))
				wrap(y.Type, y.I)
			}
			return []*Tensor[T]{y}, nil
		}, nil
	}
}

func running[E any](neutral E, f func(a, b E) E, exclusive, reverse bool) func(dst, src []E) {
	return func(dst, src []E) {
		total := neutral
		for k := range src {
			i := k
			if reverse {
				i = len(src) - 1 - k
			}
			next := f(total, src[i])
			if exclusive {
				dst[i] = total
			} else {
				dst[i] = next
			}
			total = next
		}
	}
}
