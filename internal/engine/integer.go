package engine

import (
	"unsafe"

	"efcn/onnxio"
)

// wrap cuts every element to the width of its declared type, as arithmetic in
// that type would have.
func wrap(t onnxio.DataType, v []int64) {
	switch t {
	case onnxio.Int8:
		cut(v, func(x int64) int64 { return int64(int8(x)) })
	case onnxio.Int16:
		cut(v, func(x int64) int64 { return int64(int16(x)) })
	case onnxio.Int32:
		cut(v, func(x int64) int64 { return int64(int32(x)) })
	case onnxio.Uint8:
		cut(v, func(x int64) int64 { return int64(uint8(x)) })
	case onnxio.Uint16:
		cut(v, func(x int64) int64 { return int64(uint16(x)) })
	case onnxio.Uint32:
		cut(v, func(x int64) int64 { return int64(uint32(x)) })
	}
}

func cut(v []int64, f func(int64) int64) {
	for i, x := range v {
		v[i] = f(x)
	}
}

// unsigned views the elements of a uint64 value as what they stand for.
func unsigned(v []int64) []uint64 {
	return unsafe.Slice((*uint64)(unsafe.Pointer(unsafe.SliceData(v))), len(v))
}

// integer is any element type that integer values are computed in.
type integer interface{ int64 | uint64 }

func isUnsigned(t onnxio.DataType) bool {
	switch t {
	case onnxio.Uint8, onnxio.Uint16, onnxio.Uint32, onnxio.Uint64:
		return true
	default:
		return false
	}
}
