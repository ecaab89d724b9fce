package engine

import (
	"slices"

	"efcn/internal/kernel"
)

// Where convolutions are packed (see packed.go), their results N×C×H×W lie in memory as
// N×H×W×C: channels last. Their shape stays as it is. Operators that say so
// (node.eitherLayout) take such a value as it lies and mostly give one; all others, and
// whoever asks for an output, get it row-major.

// isLast reports whether the elements lie with the channels last, or would lie alike.
func (t *Tensor[T]) isLast() bool {
	return t.last || len(t.Shape) == 4 && (t.Shape[1] == 1 || t.Shape[2]*t.Shape[3] == 1)
}

// freshLast is fresh, with the channels last where that makes a difference.
func (x *exec[T]) freshLast(like *Tensor[T], shape []int) (*Tensor[T], error) {
	y, err := x.fresh(like.Type, shape)
	if err == nil {
		y.last = !y.isLast()
	}
	return y, err
}

// toLast returns a floating-point value of four axes with its channels last.
func (x *exec[T]) toLast(v *Tensor[T]) (*Tensor[T], error) {
	if v.isLast() {
		return v, nil
	}
	y, err := x.freshLast(v, v.Shape)
	if err == nil {
		kernel.ToLast(v.Shape[0], v.Shape[1], v.Shape[2]*v.Shape[3], v.F, y.F)
	}
	return y, err
}

// rowMajor returns a value with its elements row-major.
func (x *exec[T]) rowMajor(v *Tensor[T]) (*Tensor[T], error) {
	if v == nil || !v.last {
		return v, nil
	}
	y, err := x.fresh(v.Type, v.Shape)
	if err == nil {
		kernel.ToPlanes(v.Shape[0], v.Shape[1], v.Shape[2]*v.Shape[3], v.F, y.F)
	}
	return y, err
}

// rowMajor returns value i, which is there, with its elements row-major. It stays so.
func (f *frame[T]) rowMajor(i int) (*Tensor[T], error) {
	v := f.values[i]
	y, err := f.x.rowMajor(v)
	if err != nil || y == v {
		return y, err
	}
	f.x.memory.release(v)
	f.x.memory.hold(y)
	f.values[i] = y
	return y, nil
}

// asLast returns the shape, of batch, positions and channels, under which v broadcasts
// to a result of the shape whole as it lies, where that lies with its channels last. It is
// nil if there is none.
func (t *Tensor[T]) asLast(whole []int) []int {
	switch len(t.Shape) {
	case 3:
		if t.Shape[1]*t.Shape[2] == 1 {
			return []int{1, 1, t.Shape[0]}
		}
	case 4:
		if size := t.Shape[2:]; t.isLast() && (product(size) == 1 || slices.Equal(size, whole[2:])) {
			return []int{t.Shape[0], product(size), t.Shape[1]}
		}
	}
	if len(t.F) == 1 {
		return []int{1, 1, 1}
	}
	return nil
}

// zipLast computes a value from two operands of floating point that it broadcasts, of
// which one lies with its channels last, and so does the result. The result is nil where
// the other operand does not fit that.
func (x *exec[T]) zipLast(a, b *Tensor[T], row func(dst, a, b []T)) (*Tensor[T], error) {
	whole, err := broadcastShape(a.Shape, b.Shape)
	if err != nil || len(whole) != 4 || a.Type != b.Type {
		return nil, nil // whoever computes it row-major reports that
	}
	operands, shapes := [2]*Tensor[T]{a, b}, [2][]int{}
	for i, v := range operands {
		if slices.Equal(v.Shape, whole) {
			if operands[i], err = x.toLast(v); err != nil {
				return nil, err
			}
		}
		if shapes[i] = operands[i].asLast(whole); shapes[i] == nil {
			return nil, nil
		}
	}
	var y *Tensor[T]
	if slices.Equal(a.Shape, whole) {
		y, err = x.over(operands[0])
	} else {
		y, err = x.fresh(a.Type, whole)
	}
	if err != nil {
		return nil, err
	}
	y.last = !y.isLast()
	zip(y.F, []int{whole[0], whole[2] * whole[3], whole[1]}, operands[0].F, shapes[0], operands[1].F, shapes[1], row)
	return y, nil
}
