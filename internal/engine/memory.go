package engine

import (
	"slices"
	"unsafe"

	"efcn/internal/kernel"
	"efcn/onnxio"
)

// arena holds the memory of one run's floating-point values, so that it goes
// from one value to the next instead of through the garbage collector.
//
// Values may share memory: a Reshape's result is its input's, and a result may
// be a stretch of an input. So a buffer counts the values that lie in it, found
// by address, and is free once the last of them is released. Memory that is
// not the arena's own (feeds, constants) is left alone. A nil arena works, and
// keeps nothing.
type arena[T kernel.Float] struct {
	live []*buffer[T]
	free []*buffer[T]
}

// buffer is memory that one or more values lie in.
type buffer[T kernel.Float] struct {
	data   []T // as much as there is
	values int
}

// smallest is the least elements that are worth keeping.
const smallest = 1 << 10

// take returns memory for n elements, their content unspecified. It belongs to
// the arena until settle unless a value is held in it.
func (a *arena[T]) take(n int) []T {
	if a == nil || n < smallest {
		return make([]T, n)
	}
	best, largest := -1, -1
	for i, b := range a.free {
		if len(b.data) >= n && (best < 0 || len(b.data) < len(a.free[best].data)) {
			best = i
		}
		if largest < 0 || len(b.data) > len(a.free[largest].data) {
			largest = i
		}
	}
	switch {
	case best >= 0:
		b := a.free[best]
		a.free = slices.Delete(a.free, best, best+1)
		a.live = append(a.live, b)
		return b.data[:n:n]
	case largest >= 0:
		// The new buffer does for what this one would have.
		a.free = slices.Delete(a.free, largest, largest+1)
	}
	b := &buffer[T]{data: make([]T, n)}
	a.live = append(a.live, b)
	return b.data
}

// find returns the buffer that v lies in, nil if it isn't the arena's.
func (a *arena[T]) find(v []T) *buffer[T] {
	if a == nil || len(v) == 0 {
		return nil
	}
	at := uintptr(unsafe.Pointer(&v[0]))
	for _, b := range a.live {
		from := uintptr(unsafe.Pointer(&b.data[0]))
		if at >= from && at-from < uintptr(len(b.data))*unsafe.Sizeof(b.data[0]) {
			return b
		}
	}
	return nil
}

// hold counts a value in the buffer that it lies in, if any; release takes that
// back.
func (a *arena[T]) hold(v *Tensor[T]) {
	if b := a.find(v.F); b != nil {
		b.values++
	}
}

func (a *arena[T]) release(v *Tensor[T]) {
	if b := a.find(v.F); b != nil {
		b.values--
	}
}

// settle frees what no value lies in: at the end of a step, when results are
// held and inputs released.
func (a *arena[T]) settle() {
	if a == nil {
		return
	}
	a.live = slices.DeleteFunc(a.live, func(b *buffer[T]) bool {
		if b.values == 0 {
			a.free = append(a.free, b)
		}
		return b.values == 0
	})
}

// part takes a result out of the arena: what lies in its memory stays there. A
// result far smaller than its buffer is copied, for its owner not to keep more
// than it knows of.
func (a *arena[T]) part(v *Tensor[T]) *Tensor[T] {
	b := a.find(v.F)
	if b == nil || len(b.data) <= 2*len(v.F) {
		return v
	}
	a.release(v)
	return &Tensor[T]{Type: v.Type, Shape: v.Shape, F: slices.Clone(v.F)}
}

// fresh returns a tensor whose elements are unspecified, for an operator that
// writes all of them.
func (x *exec[T]) fresh(t onnxio.DataType, shape []int) (*Tensor[T], error) {
	n, err := count(shape, x.elements)
	if err != nil {
		return nil, err
	}
	v := &Tensor[T]{Type: t, Shape: shape}
	if t.IsFloat() {
		v.F = x.memory.take(n)
	} else {
		v.I = make([]int64, n)
	}
	return v, nil
}

// over returns a tensor of the type and shape of v for an operator that reads no
// element of v after writing that of the result: v itself in new clothes if
// nothing needs it after this step, otherwise as fresh does.
func (x *exec[T]) over(v *Tensor[T]) (*Tensor[T], error) {
	if slices.Contains(x.dying, v) {
		if b := x.memory.find(v.F); b != nil && b.values == 1 {
			return v.reshaped(v.Shape), nil
		}
	}
	return x.fresh(v.Type, v.Shape)
}
