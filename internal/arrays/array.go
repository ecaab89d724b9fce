// Package arrays reads and writes named numeric arrays in the formats that
// people keep a model's inputs and outputs in: NumPy's .npy and .npz, and the
// folders of TensorProto files that ONNX calls test data.
//
// Start with [Load], which reads any of them, and [WriteNPZ].
package arrays

import (
	"encoding/binary"
	"fmt"
	"math"

	"efcn/onnxio"
)

// Array is one array. Data holds the elements row-major, little-endian and
// without gaps, a bool as one byte of 0 or 1.
type Array struct {
	Name  string
	Type  onnxio.DataType
	Shape []int
	Data  []byte
}

// Len returns the number of elements.
func (a *Array) Len() int {
	n := 1
	for _, d := range a.Shape {
		n *= d
	}
	return n
}

// String describes the array without its elements: float32[16 1 28 28].
func (a *Array) String() string { return fmt.Sprintf("%v%v", a.Type, a.Shape) }

// FromFloats makes an array of float32 or float64 elements.
func FromFloats[T float32 | float64](name string, shape []int, values []T) *Array {
	a := &Array{Name: name, Shape: shape}
	switch v := any(values).(type) {
	case []float32:
		a.Type = onnxio.Float32
		a.Data = make([]byte, 0, 4*len(v))
		for _, x := range v {
			a.Data = binary.LittleEndian.AppendUint32(a.Data, math.Float32bits(x))
		}
	case []float64:
		a.Type = onnxio.Float64
		a.Data = make([]byte, 0, 8*len(v))
		for _, x := range v {
			a.Data = binary.LittleEndian.AppendUint64(a.Data, math.Float64bits(x))
		}
	}
	return a
}

// FromInts makes an array of integers or bools of type t. A value that t
// cannot hold is an error.
func FromInts(name string, t onnxio.DataType, shape []int, values []int64) (*Array, error) {
	a := &Array{Name: name, Type: t, Shape: shape, Data: make([]byte, 0, int(t.Size())*len(values))}
	for i, v := range values {
		if !fits(t, v) {
			return nil, fmt.Errorf("array %q: element %d is %d: out of the range of %v", name, i, v, t)
		}
		switch t.Size() {
		case 1:
			a.Data = append(a.Data, byte(v))
		case 2:
			a.Data = binary.LittleEndian.AppendUint16(a.Data, uint16(v))
		case 4:
			a.Data = binary.LittleEndian.AppendUint32(a.Data, uint32(v))
		default:
			a.Data = binary.LittleEndian.AppendUint64(a.Data, uint64(v))
		}
	}
	return a, nil
}

func fits(t onnxio.DataType, v int64) bool {
	switch t {
	case onnxio.Bool:
		return v == 0 || v == 1
	case onnxio.Int8:
		return v == int64(int8(v))
	case onnxio.Int16:
		return v == int64(int16(v))
	case onnxio.Int32:
		return v == int64(int32(v))
	case onnxio.Int64:
		return true
	case onnxio.Uint8:
		return v == int64(uint8(v))
	case onnxio.Uint16:
		return v == int64(uint16(v))
	case onnxio.Uint32:
		return v == int64(uint32(v))
	case onnxio.Uint64:
		return v >= 0
	default:
		return false
	}
}

// Floats returns the elements of an array of any numeric type as T. A float64
// is rounded to the nearest float32; an integer that T cannot hold exactly is
// rounded likewise.
func Floats[T float32 | float64](a *Array) ([]T, error) {
	out := make([]T, a.Len())
	switch a.Type {
	case onnxio.Float16:
		for i := range out {
			out[i] = T(float16(binary.LittleEndian.Uint16(a.Data[2*i:])))
		}
	case onnxio.Float32:
		for i := range out {
			out[i] = T(math.Float32frombits(binary.LittleEndian.Uint32(a.Data[4*i:])))
		}
	case onnxio.Float64:
		for i := range out {
			out[i] = T(math.Float64frombits(binary.LittleEndian.Uint64(a.Data[8*i:])))
		}
	case onnxio.Bool, onnxio.Uint8, onnxio.Int8, onnxio.Uint16, onnxio.Int16, onnxio.Uint32, onnxio.Int32, onnxio.Uint64, onnxio.Int64:
		for i := range out {
			if a.Type == onnxio.Uint64 {
				out[i] = T(binary.LittleEndian.Uint64(a.Data[8*i:]))
			} else {
				out[i] = T(a.intAt(i))
			}
		}
	default:
		return nil, fmt.Errorf("array %q is %v; want a numeric type", a.Name, a.Type)
	}
	return out, nil
}

// Ints returns the elements of an array of integers or bools. A uint64 past
// 2^63-1 is an error.
func (a *Array) Ints() ([]int64, error) {
	if !a.Type.IsInteger() && a.Type != onnxio.Bool {
		return nil, fmt.Errorf("array %q is %v; want integers", a.Name, a.Type)
	}
	out := make([]int64, a.Len())
	for i := range out {
		out[i] = a.intAt(i)
		if a.Type == onnxio.Uint64 && out[i] < 0 {
			return nil, fmt.Errorf("array %q: element %d is %d, past 2^63-1", a.Name, i, uint64(out[i]))
		}
	}
	return out, nil
}

// intAt returns element i; a.Type is an integer type or bool.
func (a *Array) intAt(i int) int64 {
	switch a.Type {
	case onnxio.Bool, onnxio.Uint8:
		return int64(a.Data[i])
	case onnxio.Int8:
		return int64(int8(a.Data[i]))
	case onnxio.Uint16:
		return int64(binary.LittleEndian.Uint16(a.Data[2*i:]))
	case onnxio.Int16:
		return int64(int16(binary.LittleEndian.Uint16(a.Data[2*i:])))
	case onnxio.Uint32:
		return int64(binary.LittleEndian.Uint32(a.Data[4*i:]))
	case onnxio.Int32:
		return int64(int32(binary.LittleEndian.Uint32(a.Data[4*i:])))
	default:
		return int64(binary.LittleEndian.Uint64(a.Data[8*i:]))
	}
}

// float16 decodes an IEEE 754 binary16; every one is a float32 exactly.
func float16(h uint16) float32 {
	sign := 1 - 2*float64(h>>15)
	exponent, fraction := int(h>>10&0x1f), float64(h&0x3ff)
	switch {
	case exponent == 0x1f && fraction != 0:
		return float32(math.NaN())
	case exponent == 0x1f:
		return float32(math.Inf(int(sign)))
	case exponent == 0:
		return float32(sign * math.Ldexp(fraction, -24))
	default:
		return float32(sign * math.Ldexp(fraction+1024, exponent-25))
	}
}
