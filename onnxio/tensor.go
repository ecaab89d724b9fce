package onnxio

import (
	"errors"
	"fmt"
	"io"
	"math"
)

// DataType is the element type of a tensor; the numbers are those of
// TensorProto.DataType.
type DataType int32

// The element types of ONNX that this package can size and decode.
const (
	Undefined  DataType = 0
	Float32    DataType = 1
	Uint8      DataType = 2
	Int8       DataType = 3
	Uint16     DataType = 4
	Int16      DataType = 5
	Int32      DataType = 6
	Int64      DataType = 7
	String     DataType = 8
	Bool       DataType = 9
	Float16    DataType = 10
	Float64    DataType = 11
	Uint32     DataType = 12
	Uint64     DataType = 13
	Complex64  DataType = 14
	Complex128 DataType = 15
	BFloat16   DataType = 16
)

var dataTypes = map[DataType]struct {
	name string
	size int64 // bytes an element, 0 where it is not fixed
}{
	Undefined: {"undefined", 0}, Float32: {"float32", 4}, Uint8: {"uint8", 1}, Int8: {"int8", 1},
	Uint16: {"uint16", 2}, Int16: {"int16", 2}, Int32: {"int32", 4}, Int64: {"int64", 8},
	String: {"string", 0}, Bool: {"bool", 1}, Float16: {"float16", 2}, Float64: {"float64", 8},
	Uint32: {"uint32", 4}, Uint64: {"uint64", 8}, Complex64: {"complex64", 8},
	Complex128: {"complex128", 16}, BFloat16: {"bfloat16", 2},
}

func (t DataType) String() string {
	if d, ok := dataTypes[t]; ok {
		return d.name
	}
	return fmt.Sprintf("data type %d", int32(t))
}

// Size returns the bytes that one element takes, 0 for types whose elements
// have no size of their own (strings, and the packed sub-byte types).
func (t DataType) Size() int64 { return dataTypes[t].size }

// IsFloat says whether t is one of the real floating-point types.
func (t DataType) IsFloat() bool {
	return t == Float32 || t == Float64 || t == Float16 || t == BFloat16
}

// IsInteger says whether t is one of the integer types; Bool is not one.
func (t DataType) IsInteger() bool {
	switch t {
	case Uint8, Int8, Uint16, Int16, Int32, Int64, Uint32, Uint64:
		return true
	default:
		return false
	}
}

// ErrTooLarge is returned where dimensions multiply to more elements or bytes
// than an int64 counts.
var ErrTooLarge = errors.New("dimensions multiply past 2^63")

// Tensor is a constant tensor: an initializer, or the value of an attribute.
// Its elements are row-major and may live in memory, in a file, or nowhere
// yet: see Data.
type Tensor struct {
	Name     string
	Type     DataType
	Dims     []int64
	Data     Data // nil for a string tensor or a type this package cannot size
	Doc      string
	Metadata []Prop

	rest rest
}

// Data is the content of a tensor: its elements, little-endian, row-major,
// without gaps (the raw_data encoding of TensorProto). The content of one of
// the bytes of an ONNX file, of a region of an external file, or what a
// function generates as it is written: a model's weights need not be in memory
// to be copied or written.
type Data interface {
	// Len returns the number of bytes.
	Len() int64
	// WriteTo writes exactly Len bytes to w, from the first, at every call.
	WriteTo(w io.Writer) (int64, error)
}

// SparseTensor is a constant tensor stored as its non-zeros
// (SparseTensorProto): Values [NNZ] and Indices, either [NNZ] linear indices
// or [NNZ, rank] coordinates, int64, sorted in row-major order. Its name is
// that of Values.
type SparseTensor struct {
	Values  *Tensor
	Indices *Tensor
	Dims    []int64

	rest rest
}

// NumElements returns the product of dims, 1 for a scalar.
// It returns an error for a negative dimension and ErrTooLarge on overflow.
func NumElements(dims []int64) (int64, error) {
	n := int64(1)
	for _, d := range dims {
		if d < 0 {
			return 0, fmt.Errorf("dimension %d is negative", d)
		}
		if d != 0 && n > math.MaxInt64/d {
			return 0, ErrTooLarge
		}
		n *= d
	}
	return n, nil
}
