package engine

import (
	"math"
	"slices"

	"efcn/internal/kernel"
)

// Softmax, LogSoftmax and Hardmax (https://onnx.ai/onnx/operators/onnx__Softmax.html).
// Since version 13 they work along one axis, the last by default; before, the
// axes from axis on (1 by default) are taken as one.
func init() {
	register(operator{name: "Softmax", inputs: "f"}, lineMap(softmax[float32]), lineMap(softmax[float64]))
	register(operator{name: "LogSoftmax", inputs: "f"}, lineMap(logSoftmax[float32]), lineMap(logSoftmax[float64]))
	register(operator{name: "Hardmax", inputs: "f"}, lineMap(hardmax[float32]), lineMap(hardmax[float64]))
}

func lineMap[T kernel.Float](f func(dst, src []T)) builder[T] {
	return func(n *node) (compute[T], error) {
		def := int64(1)
		if n.version >= 13 {
			def = -1
		}
		axis, flat := n.int("axis", def), n.version < 13
		return func(x *exec[T], in []*Tensor[T]) ([]*Tensor[T], error) {
			v := in[0]
			if len(v.Shape) == 0 && (axis == 0 || axis == -1) {
				v = v.reshaped([]int{1})
			}
			a := len(v.Shape)
			if !flat || axis != int64(a) {
				var err error
				if a, err = axisIndex(axis, len(v.Shape)); err != nil {
					return nil, err
				}
			}
			y, err := x.like(in[0])
			if err != nil {
				return nil, err
			}
			if flat {
				n := product(v.Shape[a:])
				onLines(y.F, v.F, product(v.Shape[:a]), n, n, 1, f)
				return []*Tensor[T]{y}, nil
			}
			outer, n, inner := around(v.Shape, a)
			onLines(y.F, v.F, outer, n, n, inner, f)
			return []*Tensor[T]{y}, nil
		}, nil
	}
}

func softmax[T kernel.Float](dst, src []T) {
	largest := slices.Max(src)
	sum := 0.0
	for i, v := range src {
		e := math.Exp(float64(v - largest))
		dst[i] = T(e)
		sum += e
	}
	for i := range dst {
		dst[i] = T(float64(dst[i]) / sum)
	}
}

func logSoftmax[T kernel.Float](dst, src []T) {
	largest := slices.Max(src)
	sum := 0.0
	for _, v := range src {
		sum += math.Exp(float64(v - largest))
	}
	log := T(math.Log(sum))
	for i, v := range src {
		dst[i] = v - largest - log
	}
}

// hardmax is 1 at the first largest element.
func hardmax[T kernel.Float](dst, src []T) {
	clear(dst)
	at := 0
	for i, v := range src {
		if v > src[at] {
			at = i
		}
	}
	dst[at] = 1
}
