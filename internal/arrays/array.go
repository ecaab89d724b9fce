// Package arrays reads and writes named numeric arrays in the formats that
// people keep a model's inputs and outputs in: NumPy's .npy and .npz, and the
// folders of TensorProto files that ONNX calls test data.
//
// Start with [Load], which reads any of them, and [WriteNPZ]. An array is an
// [onnxio.Tensor] with its elements in memory.
package arrays

import (
	"encoding/binary"
	"fmt"
	"strings"

	"efcn/onnxio"
)

// fromBytes makes an array of elements encoded as Data has them.
func fromBytes(name string, t onnxio.DataType, dims []int64, data []byte) *onnxio.Tensor {
	a := onnxio.NewTensor(name, dims, data)
	a.Type = t
	return a
}

// FromInts makes an array of integers or bools of type t. A value that t
// cannot hold is an error.
func FromInts(name string, t onnxio.DataType, dims []int64, values []int64) (*onnxio.Tensor, error) {
	data := make([]byte, 0, int(t.Size())*len(values))
	for i, v := range values {
		if !fits(t, v) {
			return nil, fmt.Errorf("array %q: element %d is %d, which %v cannot hold", name, i, v, t)
		}
		switch t.Size() {
		case 1:
			data = append(data, byte(v))
		case 2:
			data = binary.LittleEndian.AppendUint16(data, uint16(v))
		case 4:
			data = binary.LittleEndian.AppendUint32(data, uint32(v))
		default:
			data = binary.LittleEndian.AppendUint64(data, uint64(v))
		}
	}
	return fromBytes(name, t, dims, data), nil
}

func fits(t onnxio.DataType, v int64) bool {
	bits := 8 * t.Size()
	switch t {
	case onnxio.Bool:
		return v == 0 || v == 1
	case onnxio.Uint8, onnxio.Uint16, onnxio.Uint32:
		return v >= 0 && v < 1<<bits
	case onnxio.Uint64:
		return v >= 0
	case onnxio.Int8, onnxio.Int16, onnxio.Int32, onnxio.Int64:
		return v >= -1<<(bits-1) && v <= 1<<(bits-1)-1
	default:
		return false
	}
}

// Numbers returns the elements of an array of any numeric type as float64,
// rounded where an integer is past 2^53.
func Numbers(a *onnxio.Tensor) ([]float64, error) {
	if a.Type.IsFloat() {
		return onnxio.Floats[float64](a)
	}
	ints, err := onnxio.Ints(a)
	if err != nil {
		return nil, err
	}
	out := make([]float64, len(ints))
	for i, v := range ints {
		out[i] = float64(v)
	}
	return out, nil
}

// Describe returns the type and shape of an array: float32 [16 1 28 28].
func Describe(a *onnxio.Tensor) string { return fmt.Sprintf("%v %v", a.Type, a.Dims) }

// DescribeType returns a declared type: float32 batchx1x28x28, with ? for a
// dimension that is not known and has no name.
func DescribeType(t onnxio.TensorType) string {
	if t.Elem == onnxio.Undefined {
		return "no tensor"
	}
	if !t.HasShape {
		return t.Elem.String() + " of any shape"
	}
	if len(t.Shape) == 0 {
		return t.Elem.String() + " scalar"
	}
	fields := make([]string, len(t.Shape))
	for i, d := range t.Shape {
		switch {
		case d.Known():
			fields[i] = fmt.Sprint(d.Value)
		case d.Param != "":
			fields[i] = d.Param
		default:
			fields[i] = "?"
		}
	}
	return t.Elem.String() + " " + strings.Join(fields, "x")
}
