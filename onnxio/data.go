package onnxio

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
)

// Element is the set of Go types that hold the elements of a tensor.
type Element interface {
	float32 | float64 | int8 | int16 | int32 | int64 | uint8 | uint16 | uint32 | uint64 | bool
}

// NewTensor returns a tensor of the element type that T is. It keeps values,
// which are row-major and as many as dims multiply to; nothing is copied until
// the tensor is written.
func NewTensor[T Element](name string, dims []int64, values []T) *Tensor {
	return &Tensor{Name: name, Type: typeOf[T](), Dims: dims, Data: sliceData[T](values)}
}

func typeOf[T Element]() DataType {
	switch any(*new(T)).(type) {
	case float32:
		return Float32
	case float64:
		return Float64
	case int8:
		return Int8
	case int16:
		return Int16
	case int32:
		return Int32
	case int64:
		return Int64
	case uint8:
		return Uint8
	case uint16:
		return Uint16
	case uint32:
		return Uint32
	case uint64:
		return Uint64
	default:
		return Bool
	}
}

// sliceData is a tensor's content as a Go slice.
type sliceData[T Element] []T

func (d sliceData[T]) Len() int64 { return int64(len(d)) * typeOf[T]().Size() }

// writeChunk is how many elements are encoded before they are written: enough
// to make the calls cheap, little enough to stay in the cache.
const writeChunk = 4096

func (d sliceData[T]) WriteTo(w io.Writer) (int64, error) {
	size := int(typeOf[T]().Size())
	buf := make([]byte, 0, min(len(d), writeChunk)*size)
	var written int64
	for len(d) > 0 {
		n := min(len(d), writeChunk)
		buf = appendElements(buf[:0], d[:n])
		k, err := w.Write(buf)
		written += int64(k)
		if err != nil {
			return written, err
		}
		d = d[n:]
	}
	return written, nil
}

// appendElements appends the raw_data encoding of v.
func appendElements[T Element](b []byte, v []T) []byte {
	le := binary.LittleEndian
	switch v := any(v).(type) {
	case []float32:
		for _, x := range v {
			b = le.AppendUint32(b, math.Float32bits(x))
		}
	case []float64:
		for _, x := range v {
			b = le.AppendUint64(b, math.Float64bits(x))
		}
	case []int8:
		for _, x := range v {
			b = append(b, byte(x))
		}
	case []int16:
		for _, x := range v {
			b = le.AppendUint16(b, uint16(x))
		}
	case []int32:
		for _, x := range v {
			b = le.AppendUint32(b, uint32(x))
		}
	case []int64:
		for _, x := range v {
			b = le.AppendUint64(b, uint64(x))
		}
	case []uint8:
		b = append(b, v...)
	case []uint16:
		for _, x := range v {
			b = le.AppendUint16(b, x)
		}
	case []uint32:
		for _, x := range v {
			b = le.AppendUint32(b, x)
		}
	case []uint64:
		for _, x := range v {
			b = le.AppendUint64(b, x)
		}
	case []bool:
		for _, x := range v {
			if x {
				b = append(b, 1)
			} else {
				b = append(b, 0)
			}
		}
	}
	return b
}

// rawData is a tensor's content as the bytes of a file that was read.
type rawData []byte

func (d rawData) Len() int64 { return int64(len(d)) }

func (d rawData) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(d)
	return int64(n), err
}

// Generate returns content of n bytes that write produces each time the tensor
// is written or read: little-endian, row-major. It is an error, of the writing
// and not of the program, if write produces any other number of bytes.
func Generate(n int64, write func(w io.Writer) error) Data {
	return generated{n, write}
}

type generated struct {
	n     int64
	write func(w io.Writer) error
}

func (d generated) Len() int64 { return d.n }

func (d generated) WriteTo(w io.Writer) (int64, error) {
	g := &exactWriter{w: w, left: d.n}
	if err := d.write(g); err != nil {
		return d.n - g.left, err
	}
	if g.left > 0 {
		return d.n - g.left, fmt.Errorf("generated %d bytes of a tensor of %d", d.n-g.left, d.n)
	}
	return d.n, nil
}

// exactWriter passes on a known number of bytes and refuses more.
type exactWriter struct {
	w    io.Writer
	left int64
}

func (e *exactWriter) Write(p []byte) (int, error) {
	if int64(len(p)) > e.left {
		return 0, fmt.Errorf("generated %d bytes more than the tensor holds", int64(len(p))-e.left)
	}
	n, err := e.w.Write(p)
	e.left -= int64(n)
	return n, err
}

// byteSize returns how many bytes the raw data of a tensor takes, 0 and false
// for a type whose elements have no fixed size.
func byteSize(t DataType, dims []int64) (n int64, sized bool, err error) {
	bits := dataTypes[t].bits
	elements, err := NumElements(dims)
	if err != nil || bits == 0 {
		return 0, false, err
	}
	if bits%8 == 0 {
		if elements > math.MaxInt64/(bits/8) {
			return 0, false, ErrTooLarge
		}
		return elements * (bits / 8), true, nil
	}
	whole, part := elements/8, elements%8
	return whole*bits + (part*bits+7)/8, true, nil
}
