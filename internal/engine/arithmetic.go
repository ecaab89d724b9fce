package engine

import (
	"errors"
	"fmt"
	"slices"

	"efcn/internal/kernel"
)

// Add, Sub, Mul and Div (https://onnx.ai/onnx/operators/onnx__Add.html and
// following): two operands of one type, broadcast. Integers wrap; integer
// division truncates, and by zero is refused.
func init() {
	register(operator{name: "Add", inputs: "nn"},
		addition[float32], addition[float64])
	register(operator{name: "Sub", inputs: "nn"},
		arithmetic(subRow[float32], subRow[int64], nil), arithmetic(subRow[float64], subRow[int64], nil))
	register(operator{name: "Mul", inputs: "nn"},
		arithmetic(mulFloats[float32], mulRow[int64], nil), arithmetic(mulFloats[float64], mulRow[int64], nil))
	register(operator{name: "Div", inputs: "nn"},
		arithmetic(divRow[float32], divRow[int64], divRow[uint64]), arithmetic(divRow[float64], divRow[int64],
			divRow[uint64]))
}

// addition is arithmetic that can follow the node that computes either operand.
func addition[T kernel.Float](n *node) (compute[T], error) {
	n.follow = follower[T](func(y *Tensor[T], in []*Tensor[T]) kernel.Then[T] {
		other := in[0]
		if other == nil {
			other = in[1]
		}
		if other == nil || other.last || other.Type != y.Type || !slices.Equal(other.Shape, y.Shape) {
			return nil
		}
		return func(at int, part []T) { kernel.Add(part, part, other.F[at:at+len(part)]) }
	})
	return arithmetic(addFloats[T], addRow[int64], nil)(n)
}

// addFloats is addRow, by the kernel where the operands are as long.
func addFloats[T kernel.Float](dst, a, b []T) {
	if len(a) == len(dst) && len(b) == len(dst) {
		kernel.Add(dst, a, b)
		return
	}
	addRow(dst, a, b)
}

// mulFloats is mulRow, by the kernel where the operands are as long.
func mulFloats[T kernel.Float](dst, a, b []T) {
	if len(a) == len(dst) && len(b) == len(dst) {
		kernel.Mul(dst, a, b)
		return
	}
	mulRow(dst, a, b)
}

// arithmetic makes the builder of an operator from its row functions. unsignedRow
// is for operators whose bits differ in uint64; they divide.
func arithmetic[T kernel.Float](row func(dst, a, b []T), intRow func(dst, a, b []int64),
	unsignedRow func(dst, a, b []uint64),
) builder[T] {
	return func(n *node) (compute[T], error) {
		n.eitherLayout = true
		return func(x *exec[T], in []*Tensor[T]) ([]*Tensor[T], error) {
			a, b := in[0], in[1]
			if a.last || b.last {
				y, err := x.zipLast(a, b, row)
				if y != nil || err != nil {
					return one(y, err)
				}
				if a, err = x.rowMajor(a); err != nil {
					return nil, err
				}
				if b, err = x.rowMajor(b); err != nil {
					return nil, err
				}
			}
			if unsignedRow != nil && slices.Contains(b.I, 0) {
				return nil, errors.New("integer division by zero")
			}
			y, err := x.broadcastOver(a, b)
			if err != nil {
				return nil, err
			}
			switch {
			case a.Type.IsFloat():
				zip(y.F, y.Shape, a.F, a.Shape, b.F, b.Shape, row)
			case a.Type.Size() == 8 && isUnsigned(a.Type) && unsignedRow != nil:
				zip(unsigned(y.I), y.Shape, unsigned(a.I), a.Shape, unsigned(b.I), b.Shape, unsignedRow)
			default:
				zip(y.I, y.Shape, a.I, a.Shape, b.I, b.Shape, intRow)
				wrap(y.Type, y.I)
			}
			return []*Tensor[T]{y}, nil
		}, nil
	}
}

// broadcast allocates the result of an operator on two operands of one type.
func (x *exec[T]) broadcast(a, b *Tensor[T]) (*Tensor[T], error) {
	if a.Type != b.Type {
		return nil, fmt.Errorf("operands are %s and %s; a Cast must make them the same", a.Type, b.Type)
	}
	shape, err := broadcastShape(a.Shape, b.Shape)
	if err != nil {
		return nil, err
	}
	return x.fresh(a.Type, shape)
}

// broadcastOver is broadcast for an operator that reads no element of an operand
// after writing that of the result: it may lie in the operand's memory.
func (x *exec[T]) broadcastOver(a, b *Tensor[T]) (*Tensor[T], error) {
	if a.Type == b.Type && slices.Contains(x.dying, a) && len(a.Shape) >= len(b.Shape) {
		if shape, err := broadcastShape(a.Shape, b.Shape); err == nil && slices.Equal(shape, a.Shape) {
			return x.over(a)
		}
	}
	return x.broadcast(a, b)
}

// number is any element type that arithmetic is done in.
type number interface{ kernel.Float | integer }

func addRow[E number](dst, a, b []E) {
	switch {
	case len(a) == len(dst) && len(b) == len(dst):
		for i := range dst {
			dst[i] = a[i] + b[i]
		}
	case len(b) == 1:
		c := b[0]
		for i := range dst {
			dst[i] = a[i] + c
		}
	default:
		c := a[0]
		for i := range dst {
			dst[i] = c + b[i]
		}
	}
}

func subRow[E number](dst, a, b []E) {
	switch {
	case len(a) == len(dst) && len(b) == len(dst):
		for i := range dst {
			dst[i] = a[i] - b[i]
		}
	case len(b) == 1:
		c := b[0]
		for i := range dst {
			dst[i] = a[i] - c
		}
	default:
		c := a[0]
		for i := range dst {
			dst[i] = c - b[i]
		}
	}
}

func mulRow[E number](dst, a, b []E) {
	switch {
	case len(a) == len(dst) && len(b) == len(dst):
		for i := range dst {
			dst[i] = a[i] * b[i]
		}
	case len(b) == 1:
		c := b[0]
		for i := range dst {
			dst[i] = a[i] * c
		}
	default:
		c := a[0]
		for i := range dst {
			dst[i] = c * b[i]
		}
	}
}

func divRow[E number](dst, a, b []E) {
	switch {
	case len(a) == len(dst) && len(b) == len(dst):
		for i := range dst {
			dst[i] = a[i] / b[i]
		}
	case len(b) == 1:
		c := b[0]
		for i := range dst {
			dst[i] = a[i] / c
		}
	default:
		c := a[0]
		for i := range dst {
			dst[i] = c / b[i]
		}
	}
}
