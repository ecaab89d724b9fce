package engine

import (
	"fmt"

	"efcn/internal/kernel"
	"efcn/onnxio"
)

// Sum, Mean, Min and Max of any number of operands, broadcast
// (https://onnx.ai/onnx/operators/onnx__Sum.html and following).
func init() {
	register(operator{name: "Sum", inputs: "f*"},
		variadic(addRow[float32], nil, nil, false), variadic(addRow[float64], nil, nil, false))
	register(operator{name: "Mean", inputs: "f*"},
		variadic(addRow[float32], nil, nil, true), variadic(addRow[float64], nil, nil, true))
	register(operator{name: "Max", inputs: "n*"},
		variadic(maxRow[float32], maxRow[int64], maxRow[uint64], false), variadic(maxRow[float64], maxRow[int64],
			maxRow[uint64], false))
	register(operator{name: "Min", inputs: "n*"},
		variadic(minRow[float32], minRow[int64], minRow[uint64], false), variadic(minRow[float64], minRow[int64],
			minRow[uint64], false))
}

func variadic[T kernel.Float](row func(dst, a, b []T), intRow func(dst, a, b []int64),
	unsignedRow func(dst, a, b []uint64), mean bool,
) builder[T] {
	return func(*node) (compute[T], error) {
		return func(x *exec[T], in []*Tensor[T]) ([]*Tensor[T], error) {
			y := in[0]
			for i, v := range in[1:] {
				if v == nil {
					return nil, fmt.Errorf("input %d is missing", i+1)
				}
				next, err := x.broadcast(y, v)
				if err != nil {
					return nil, err
				}
				switch {
				case y.Type.IsFloat():
					zip(next.F, next.Shape, y.F, y.Shape, v.F, v.Shape, row)
				case y.Type == onnxio.Uint64:
					zip(unsigned(next.I), next.Shape, unsigned(y.I), y.Shape, unsigned(v.I), v.Shape, unsignedRow)
				default:
					zip(next.I, next.Shape, y.I, y.Shape, v.I, v.Shape, intRow)
				}
				y = next
			}
			if mean {
				n := T(len(in))
				return one(x.apply(y, each(func(v T) T { return v / n })))
			}
			return []*Tensor[T]{y}, nil
		}, nil
	}
}

// max and min of Go give NaN if either is, as ONNX has it.
func maxRow[E number](dst, a, b []E) { rows(func(a, b E) E { return max(a, b) })(dst, a, b) }
func minRow[E number](dst, a, b []E) { rows(func(a, b E) E { return min(a, b) })(dst, a, b) }
