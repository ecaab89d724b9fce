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

// The element types of ONNX. Those of 8 bits and fewer after BFloat16, and
// strings, are carried through a round trip but not decoded.
const (
	Undefined      DataType = 0
	Float32        DataType = 1
	Uint8          DataType = 2
	Int8           DataType = 3
	Uint16         DataType = 4
	Int16          DataType = 5
	Int32          DataType = 6
	Int64          DataType = 7
	String         DataType = 8
	Bool           DataType = 9
	Float16        DataType = 10
	Float64        DataType = 11
	Uint32         DataType = 12
	Uint64         DataType = 13
	Complex64      DataType = 14
	Complex128     DataType = 15
	BFloat16       DataType = 16
	Float8E4M3FN   DataType = 17
	Float8E4M3FNUZ DataType = 18
	Float8E5M2     DataType = 19
	Float8E5M2FNUZ DataType = 20
	Uint4          DataType = 21
	Int4           DataType = 22
	Float4E2M1     DataType = 23
	Float8E8M0     DataType = 24
	Uint2          DataType = 25
	Int2           DataType = 26
	Float6E2M3     DataType = 27
	Float6E3M2     DataType = 28
)

var dataTypes = map[DataType]struct {
	name string
	bits int64 // an element takes in raw data, 0 where that is not fixed
}{
	Undefined: {"undefined", 0}, Float32: {"float32", 32}, Uint8: {"uint8", 8}, Int8: {"int8", 8},
	Uint16: {"uint16", 16}, Int16: {"int16", 16}, Int32: {"int32", 32}, Int64: {"int64", 64},
	String: {"string", 0}, Bool: {"bool", 8}, Float16: {"float16", 16}, Float64: {"float64", 64},
	Uint32: {"uint32", 32}, Uint64: {"uint64", 64}, Complex64: {"complex64", 64},
	Complex128: {"complex128", 128}, BFloat16: {"bfloat16", 16},
	Float8E4M3FN: {"float8e4m3fn", 8}, Float8E4M3FNUZ: {"float8e4m3fnuz", 8},
	Float8E5M2: {"float8e5m2", 8}, Float8E5M2FNUZ: {"float8e5m2fnuz", 8},
	Uint4: {"uint4", 4}, Int4: {"int4", 4}, Float4E2M1: {"float4e2m1", 4}, Float8E8M0: {"float8e8m0", 8},
	Uint2: {"uint2", 2}, Int2: {"int2", 2}, Float6E2M3: {"float6e2m3", 6}, Float6E3M2: {"float6e3m2", 6},
}

func (t DataType) String() string {
	if d, ok := dataTypes[t]; ok {
		return d.name
	}
	return fmt.Sprintf("data type %d", int32(t))
}

// Size returns the bytes that one element takes, 0 for types whose elements
// have no size of their own (strings, and the packed sub-byte types).
func (t DataType) Size() int64 { return dataTypes[t].bits / 8 }

// IsFloat reports whether t is one of the real floating-point types.
func (t DataType) IsFloat() bool {
	return t == Float32 || t == Float64 || t == Float16 || t == BFloat16
}

// IsInteger reports whether t is one of the integer types; Bool is not one.
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
	Data     Data // nil for strings, and for packed values in a typed field: carried as read
	Doc      string
	Metadata []Prop

	rest rest
}

// Data is the content of a tensor: its elements, little-endian, row-major,
// without gaps (the raw_data encoding of TensorProto). They are bytes in memory,
// a region of a file of external data, or what a function generates as it is
// written: a model's weights need not be in memory to be copied or written.
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
