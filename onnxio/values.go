package onnxio

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Floats returns the elements of a tensor of any real floating type as T, in a
// slice that is the caller's own. float64 to float32 rounds to nearest even;
// every other conversion is exact.
func Floats[T float32 | float64](t *Tensor) ([]T, error) {
	return elements(t, floatDecoder[T])
}

func floatDecoder[T float32 | float64](t *Tensor) (elementDecoder[T], error) {
	le := binary.LittleEndian
	switch t.Type {
	case Float32:
		return func(dst []T, src []byte) error {
			for i := range dst {
				dst[i] = T(math.Float32frombits(le.Uint32(src[4*i:])))
			}
			return nil
		}, nil
	case Float64:
		return func(dst []T, src []byte) error {
			for i := range dst {
				dst[i] = T(math.Float64frombits(le.Uint64(src[8*i:])))
			}
			return nil
		}, nil
	case Float16:
		return func(dst []T, src []byte) error {
			for i := range dst {
				dst[i] = T(float16(le.Uint16(src[2*i:])))
			}
			return nil
		}, nil
	case BFloat16:
		return func(dst []T, src []byte) error {
			for i := range dst {
				dst[i] = T(math.Float32frombits(uint32(le.Uint16(src[2*i:])) << 16))
			}
			return nil
		}, nil
	default:
		return nil, fmt.Errorf("want a floating type, got %s", t.Type)
	}
}

// View is Floats without a copy where t holds a slice of T in memory, as
// NewTensor makes it: the elements are then those of t, and change with them.
// They must not be modified.
func View[T float32 | float64](t *Tensor) ([]T, error) {
	if values, ok := t.Data.(sliceData[T]); ok && t.Type == typeOf[T]() {
		if err := t.checkSize(); err != nil {
			return nil, fmt.Errorf("tensor %q: %w", t.Name, err)
		}
		return values, nil
	}
	return Floats[T](t)
}

// float16 decodes an IEEE 754 binary16. Every one is a float32.
func float16(h uint16) float32 {
	sign := uint32(h&0x8000) << 16
	exponent := uint32(h>>10) & 0x1f
	fraction := uint32(h & 0x3ff)
	switch exponent {
	case 0: // zero or subnormal: fraction × 2^-24, exact in float32
		v := float32(fraction) * (1.0 / (1 << 24))
		return math.Float32frombits(math.Float32bits(v) | sign)
	case 0x1f:
		return math.Float32frombits(sign | 0x7f800000 | fraction<<13)
	default:
		return math.Float32frombits(sign | (exponent+127-15)<<23 | fraction<<13)
	}
}

// Ints returns the elements of a tensor of any integer type, or of bool as 0
// and 1, in a slice that is the caller's own. A uint64 that no int64 holds is
// an error.
func Ints(t *Tensor) ([]int64, error) {
	return elements(t, intDecoder)
}

func intDecoder(t *Tensor) (elementDecoder[int64], error) {
	le := binary.LittleEndian
	var at func(src []byte, i int) int64
	switch t.Type {
	case Bool:
		at = func(src []byte, i int) int64 {
			if src[i] != 0 {
				return 1
			}
			return 0
		}
	case Int8:
		at = func(src []byte, i int) int64 { return int64(int8(src[i])) }
	case Uint8:
		at = func(src []byte, i int) int64 { return int64(src[i]) }
	case Int16:
		at = func(src []byte, i int) int64 { return int64(int16(le.Uint16(src[2*i:]))) }
	case Uint16:
		at = func(src []byte, i int) int64 { return int64(le.Uint16(src[2*i:])) }
	case Int32:
		at = func(src []byte, i int) int64 { return int64(int32(le.Uint32(src[4*i:]))) }
	case Uint32:
		at = func(src []byte, i int) int64 { return int64(le.Uint32(src[4*i:])) }
	case Int64, Uint64:
		at = func(src []byte, i int) int64 { return int64(le.Uint64(src[8*i:])) }
	default:
		return nil, fmt.Errorf("want an integer type, got %s", t.Type)
	}
	return func(dst []int64, src []byte) error {
		for i := range dst {
			dst[i] = at(src, i)
			if dst[i] < 0 && t.Type == Uint64 {
				return fmt.Errorf("element %d does not fit an int64", uint64(dst[i]))
			}
		}
		return nil
	}, nil
}

// checkSize returns an error if the tensor has content of another length than its
// type and dimensions require.
func (t *Tensor) checkSize() error {
	want, sized, err := byteSize(t.Type, t.Dims)
	if err != nil {
		return fmt.Errorf("dimensions %v: %w", t.Dims, err)
	}
	if sized && t.Data != nil && t.Data.Len() != want {
		return fmt.Errorf("dimensions %v of %s need %d bytes, got %d", t.Dims, t.Type, want, t.Data.Len())
	}
	return nil
}
