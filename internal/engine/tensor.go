package engine

import (
	"errors"
	"fmt"

	"efcn/internal/kernel"
	"efcn/onnxio"
)

// maxElements is the most elements that any one value may have: 8 GiB of
// float32. It turns an absurd shape into an error before memory is asked for.
const maxElements = 1 << 31

// Tensor is one value of a running graph. Shape has no unknown dimension;
// elements are row-major. Exactly one of F and I is in use, by Type: every
// floating type is held in F at the engine's precision, every integer type and
// bool (as 0 and 1) in I.
type Tensor[T kernel.Float] struct {
	Type  onnxio.DataType
	Shape []int
	F     []T
	I     []int64

	last bool // within a run: the elements lie N×H×W×C, see last.go
}

// Len returns the number of elements.
func (t *Tensor[T]) Len() int {
	if t.Type.IsFloat() {
		return len(t.F)
	}
	return len(t.I)
}

// Validate checks that the elements are as many as the shape says and held
// where the type says.
func (t *Tensor[T]) Validate() error {
	if !held(t.Type) {
		return fmt.Errorf("%s tensors are not supported; floating-point, integer and bool are", t.Type)
	}
	n, err := count(t.Shape, maxElements)
	if err != nil {
		return err
	}
	if t.Type.IsFloat() && t.I != nil || !t.Type.IsFloat() && t.F != nil {
		return fmt.Errorf("%s elements are in the wrong field", t.Type)
	}
	if t.Len() != n {
		return fmt.Errorf("shape %v needs %d elements, got %d", t.Shape, n, t.Len())
	}
	if t.Type == onnxio.Bool {
		for i, v := range t.I {
			if v != 0 && v != 1 {
				return fmt.Errorf("element %d is %d; a bool is 0 or 1", i, v)
			}
		}
	}
	return nil
}

// held reports whether the engine can hold values of that type.
func held(t onnxio.DataType) bool {
	return t.IsFloat() || t.IsInteger() || t == onnxio.Bool
}

// errTooMany is wrapped by the refusal of an absurd shape.
var errTooMany = errors.New("too many elements for one value")

// count returns the number of elements of a shape, refusing negative dimensions
// and more than limit elements. An empty shape is held to the limit without its
// zeros, so that products of some of its dimensions stay in range.
func count(shape []int, limit int) (int, error) {
	n, empty := 1, false
	for _, d := range shape {
		switch {
		case d < 0:
			return 0, fmt.Errorf("shape %v: dimension %d is negative", shape, d)
		case d == 0:
			empty = true
		case n > limit/d:
			return 0, fmt.Errorf("shape %v: %w (at most %d)", shape, errTooMany, limit)
		default:
			n *= d
		}
	}
	if empty {
		return 0, nil
	}
	return n, nil
}

// product multiplies dimensions that count has accepted, or some of them.
func product(dims []int) int {
	n := 1
	for _, d := range dims {
		n *= d
	}
	return n
}

// alloc returns a zeroed tensor.
func (x *exec[T]) alloc(t onnxio.DataType, shape []int) (*Tensor[T], error) {
	v, err := x.fresh(t, shape)
	if err == nil {
		clear(v.F)
	}
	return v, err
}

// like returns a zeroed tensor of the type and shape of t.
func (x *exec[T]) like(t *Tensor[T]) (*Tensor[T], error) { return x.alloc(t.Type, t.Shape) }

// reshaped returns t's elements under another shape of as many elements.
func (t *Tensor[T]) reshaped(shape []int) *Tensor[T] {
	return &Tensor[T]{Type: t.Type, Shape: shape, F: t.F, I: t.I}
}

// one wraps the usual result of an operator.
func one[T kernel.Float](t *Tensor[T], err error) ([]*Tensor[T], error) {
	if err != nil {
		return nil, err
	}
	return []*Tensor[T]{t}, nil
}

// axisIndex maps an axis in [-rank, rank) to [0, rank).
func axisIndex(axis int64, rank int) (int, error) {
	r := int64(rank)
	if axis < -r || axis >= r {
		return 0, fmt.Errorf("axis %d is out of range for rank %d", axis, rank)
	}
	if axis < 0 {
		axis += r
	}
	return int(axis), nil
}

// axisSet maps axes to a membership list of length rank; a repeated axis is refused.
func axisSet(axes []int64, rank int) ([]bool, error) {
	set := make([]bool, rank)
	for _, a := range axes {
		i, err := axisIndex(a, rank)
		if err != nil {
			return nil, err
		}
		if set[i] {
			return nil, fmt.Errorf("axis %d is named twice", a)
		}
		set[i] = true
	}
	return set, nil
}

// intVector returns the elements of a one-dimensional integer tensor that
// says how to do something (a shape, axes, pads).
func intVector[T kernel.Float](what string, t *Tensor[T]) ([]int64, error) {
	if len(t.Shape) > 1 {
		return nil, fmt.Errorf("%s: want a vector, got shape %v", what, t.Shape)
	}
	return t.I, nil
}

// toDims converts dimensions that a model computes.
func toDims(values []int64) ([]int, error) {
	dims := make([]int, len(values))
	for i, v := range values {
		if v < 0 || v > maxElements {
			return nil, fmt.Errorf("dimension %d is out of range", v)
		}
		dims[i] = int(v)
	}
	return dims, nil
}

// dimsVector returns the dimensions that a one-dimensional integer tensor holds.
func dimsVector[T kernel.Float](what string, t *Tensor[T]) ([]int, error) {
	list, err := intVector(what, t)
	if err != nil {
		return nil, err
	}
	return toDims(list)
}

// stridesOf returns row-major strides in elements.
func stridesOf(shape []int) []int {
	s := make([]int, len(shape))
	n := 1
	for i := len(shape) - 1; i >= 0; i-- {
		s[i] = n
		n *= shape[i]
	}
	return s
}
