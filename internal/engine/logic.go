package engine

import (
	"efcn/internal/kernel"
)

// And, Or, Xor and Not of bool values, and BitwiseAnd, BitwiseOr, BitwiseXor and
// BitwiseNot of integers, broadcast.
func init() {
	and, or, xor := func(a, b int64) int64 { return a & b }, func(a, b int64) int64 { return a | b }, func(a,
		b int64,
	) int64 {
		return a ^ b
	}
	for _, op := range []struct {
		name, inputs string
		f            func(a, b int64) int64
	}{
		{"And", "bb", and},
		{"Or", "bb", or},
		{"Xor", "bb", xor},
		{"BitwiseAnd", "ii", and},
		{"BitwiseOr", "ii", or},
		{"BitwiseXor", "ii", xor},
	} {
		register(operator{name: op.name, inputs: op.inputs}, bits[float32](op.f), bits[float64](op.f))
	}
	not := func(v int64) int64 { return 1 - v }
	register(operator{name: "Not", inputs: "b"}, invert[float32](not), invert[float64](not))
	complement := func(v int64) int64 { return ^v }
	register(operator{name: "BitwiseNot", inputs: "i"}, invert[float32](complement), invert[float64](complement))
}

func bits[T kernel.Float](f func(a, b int64) int64) builder[T] {
	row := rows(f)
	return func(*node) (compute[T], error) {
		return func(x *exec[T], in []*Tensor[T]) ([]*Tensor[T], error) {
			y, err := x.broadcast(in[0], in[1])
			if err != nil {
				return nil, err
			}
			zip(y.I, y.Shape, in[0].I, in[0].Shape, in[1].I, in[1].Shape, row)
			return []*Tensor[T]{y}, nil
		}, nil
	}
}

func invert[T kernel.Float](f func(int64) int64) builder[T] {
	return func(*node) (compute[T], error) {
		return func(x *exec[T], in []*Tensor[T]) ([]*Tensor[T], error) {
			y, err := x.like(in[0])
			if err != nil {
				return nil, err
			}
			for i, v := range in[0].I {
				y.I[i] = f(v)
			}
			wrap(y.Type, y.I)
			return []*Tensor[T]{y}, nil
		}, nil
	}
}
