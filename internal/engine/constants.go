package engine

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math"

	"efcn/internal/kernel"
	"efcn/onnxio"
)

// FromONNX converts a constant of a model to a value. Its content is read.
func FromONNX[T kernel.Float](t *onnxio.Tensor) (*Tensor[T], error) {
	return fromONNX(t, onnxio.Floats[T])
}

// ViewONNX is FromONNX for a value that nobody modifies: it may share the
// constant's memory.
func ViewONNX[T kernel.Float](t *onnxio.Tensor) (*Tensor[T], error) {
	return fromONNX(t, onnxio.View[T])
}

func fromONNX[T kernel.Float](t *onnxio.Tensor, floats func(*onnxio.Tensor) ([]T, error)) (*Tensor[T], error) {
	if !held(t.Type) {
		return nil, fmt.Errorf("%s tensors are not supported; floating-point, integer and bool are", t.Type)
	}
	shape, err := toDims(t.Dims)
	if err != nil {
		return nil, err
	}
	n, err := count(shape, maxElements)
	if err != nil {
		return nil, err
	}
	v := &Tensor[T]{Type: t.Type, Shape: shape}
	if t.Type.IsFloat() {
		v.F, err = floats(t)
	} else {
		v.I, err = onnxio.Ints(t)
	}
	if err != nil {
		return nil, err
	}
	if v.Len() != n {
		return nil, fmt.Errorf("shape %v needs %d elements, the data has %d", shape, n, v.Len())
	}
	if t.Type == onnxio.Bool {
		for i, e := range v.I {
			if e != 0 {
				v.I[i] = 1
			}
		}
	}
	return v, nil
}

// fromSparse converts a sparse constant to a dense value.
func fromSparse[T kernel.Float](s *onnxio.SparseTensor) (*Tensor[T], error) {
	values, err := FromONNX[T](s.Values)
	if err != nil {
		return nil, err
	}
	shape, err := toDims(s.Dims)
	if err != nil {
		return nil, err
	}
	n, err := count(shape, maxElements)
	if err != nil {
		return nil, err
	}
	index, err := onnxio.Ints(s.Indices)
	if err != nil {
		return nil, err
	}
	width := 1
	if len(s.Indices.Dims) == 2 {
		width = len(shape)
	}
	if len(index) != width*values.Len() {
		return nil, fmt.Errorf("sparse tensor: %d values need %d indices, got %d", values.Len(), width*values.Len(),
			len(index))
	}
	v := &Tensor[T]{Type: values.Type, Shape: shape}
	if v.Type.IsFloat() {
		v.F = make([]T, n)
	} else {
		v.I = make([]int64, n)
	}
	strides := stridesOf(shape)
	for k := range values.Len() {
		at := index[k]
		if len(s.Indices.Dims) == 2 {
			at = 0
			for a, c := range index[k*width : (k+1)*width] {
				if c < 0 || c >= int64(shape[a]) {
					return nil, fmt.Errorf("sparse tensor: index %d of axis %d is outside %v", c, a, shape)
				}
				at += c * int64(strides[a])
			}
		}
		if at < 0 || at >= int64(n) {
			return nil, fmt.Errorf("sparse tensor: index %d is outside the %d elements of %v", at, n, shape)
		}
		if v.Type.IsFloat() {
			v.F[at] = values.F[k]
		} else {
			v.I[at] = values.I[k]
		}
	}
	return v, nil
}

// ToONNX makes a constant of a model from a value, in the element type that the
// value declares. It keeps the value's elements: they must not be modified after.
func ToONNX[T kernel.Float](name string, v *Tensor[T]) *onnxio.Tensor {
	dims := make([]int64, len(v.Shape))
	for i, d := range v.Shape {
		dims[i] = int64(d)
	}
	var zero T
	_, double := any(zero).(float64)
	switch {
	case v.Type == onnxio.Int64:
		return onnxio.NewTensor(name, dims, v.I)
	case v.Type == onnxio.Float32 && !double, v.Type == onnxio.Float64 && double:
		return onnxio.NewTensor(name, dims, v.F)
	}
	size := v.Type.Size()
	content := onnxio.Generate(size*int64(v.Len()), func(w io.Writer) error {
		b := bufio.NewWriter(w)
		var word [8]byte
		for i := range v.Len() {
			binary.LittleEndian.PutUint64(word[:], v.bits(i))
			if _, err := b.Write(word[:size]); err != nil {
				return err
			}
		}
		return b.Flush()
	})
	return &onnxio.Tensor{Name: name, Type: v.Type, Dims: dims, Data: content}
}

// bits returns element i in the encoding of its type.
func (t *Tensor[T]) bits(i int) uint64 {
	switch t.Type {
	case onnxio.Float32:
		return uint64(math.Float32bits(float32(t.F[i])))
	case onnxio.Float64:
		return math.Float64bits(float64(t.F[i]))
	case onnxio.Float16:
		return uint64(halfBits(float64(t.F[i])))
	case onnxio.BFloat16:
		return uint64(bfloatBits(float64(t.F[i])))
	default:
		return uint64(t.I[i])
	}
}
