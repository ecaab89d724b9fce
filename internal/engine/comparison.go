package engine

import (
	"errors"
	"fmt"

	"efcn/internal/kernel"
	"efcn/onnxio"
)

// Equal, Greater, Less, GreaterOrEqual and LessOrEqual
// (https://onnx.ai/onnx/operators/onnx__Equal.html and following) of two
// operands of one type, broadcast, to bool. Any comparison with NaN is false.
func init() {
	register(operator{name: "Equal", inputs: "vv"},
		comparison(equal[float32], equal[int64], equal[uint64]), comparison(equal[float64], equal[int64],
			equal[uint64]))
	register(operator{name: "Greater", inputs: "nn"},
		comparison(greater[float32], greater[int64], greater[uint64]), comparison(greater[float64], greater[int64],
			greater[uint64]))
	register(operator{name: "Less", inputs: "nn"},
		comparison(less[float32], less[int64], less[uint64]), comparison(less[float64], less[int64], less[uint64]))
	register(operator{name: "GreaterOrEqual", inputs: "nn"},
		comparison(greaterOrEqual[float32], greaterOrEqual[int64],
			greaterOrEqual[uint64]), comparison(greaterOrEqual[float64], greaterOrEqual[int64], greaterOrEqual[uint64]))
	register(operator{name: "LessOrEqual", inputs: "nn"},
		comparison(lessOrEqual[float32], lessOrEqual[int64], lessOrEqual[uint64]), comparison(lessOrEqual[float64],
			lessOrEqual[int64], lessOrEqual[uint64]))
}

func comparison[T kernel.Float](f func(a, b T) int64, g func(a, b int64) int64, h func(a, b uint64) int64) builder[T] {
	row, intRow, unsignedRow := rows(f), rows(g), rows(h)
	return func(*node) (compute[T], error) {
		return func(x *exec[T], in []*Tensor[T]) ([]*Tensor[T], error) {
			a, b := in[0], in[1]
			if a.Type != b.Type {
				return nil, fmt.Errorf("operands are %s and %s; a Cast must make them the same", a.Type, b.Type)
			}
			shape, err := broadcastShape(a.Shape, b.Shape)
			if err != nil {
				return nil, err
			}
			y, err := x.alloc(onnxio.Bool, shape)
			if err != nil {
				return nil, err
			}
			switch {
			case a.Type.IsFloat():
				zip(y.I, shape, a.F, a.Shape, b.F, b.Shape, row)
			case a.Type == onnxio.Uint64:
				zip(y.I, shape, unsigned(a.I), a.Shape, unsigned(b.I), b.Shape, unsignedRow)
			default:
				zip(y.I, shape, a.I, a.Shape, b.I, b.Shape, intRow)
			}
			return []*Tensor[T]{y}, nil
		}, nil
	}
}

func truth(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

func equal[E number](a, b E) int64          { return truth(a == b) }
func greater[E number](a, b E) int64        { return truth(a > b) }
func less[E number](a, b E) int64           { return truth(a < b) }
func greaterOrEqual[E number](a, b E) int64 { return truth(a >= b) }
func lessOrEqual[E number](a, b E) int64    { return truth(a <= b) }

// errEmpty is returned by operators that have no answer for an empty axis.
var errEmpty = errors.New("the axis is empty")
