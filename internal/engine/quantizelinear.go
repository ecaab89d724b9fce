package engine

import (
	"fmt"
	"math"

	"efcn/internal/kernel"
	"efcn/onnxio"
)

// QuantizeLinear and DequantizeLinear
// (https://onnx.ai/onnx/operators/onnx__QuantizeLinear.html) between floating point
// and 8- and 16-bit integers, per tensor or per axis. The blocked form is refused.
func init() {
	register(operator{
		name:   "QuantizeLinear",
		limits: "to 8- and 16-bit integers, per tensor or axis; blocks are refused", inputs: "nni",
	}, quantizeLinear[float32], quantizeLinear[float64])
	register(operator{name: "DequantizeLinear", limits: "per tensor or axis; blocks are refused", inputs: "ifi"},
		dequantizeLinear[float32], dequantizeLinear[float64])
}

// quantizationAxis reads what both operators have in common.
func quantizationAxis(n *node) int64 {
	axis := int64(1)
	if n.version >= 13 {
		axis = n.int("axis", 1)
	}
	if n.version >= 21 && n.int("block_size", 0) != 0 {
		n.refuse("attribute block_size: blocked quantization is not supported; per tensor and per axis are")
	}
	return axis
}

// quantized allocates the result of v, and returns with it the index into scale and zero
// point for each element, as (element / inner) % size.
func (x *exec[T]) quantized(
	t onnxio.DataType, v *Tensor[T], axis int64, scale, zero *Tensor[T],
) (y *Tensor[T], size, inner int, err error) {
	if size, inner, err = perAxis(v.Shape, axis, scale, zero); err != nil {
		return nil, 0, 0, err
	}
	y, err = x.alloc(t, v.Shape)
	return y, size, inner, err
}

// perAxis returns size and inner for the elements of a shape.
func perAxis[T kernel.Float](shape []int, axis int64, scale, zero *Tensor[T]) (size, inner int, err error) {
	if zero != nil && zero.Len() != scale.Len() {
		return 0, 0, fmt.Errorf("scale %v and zero point %v differ in shape", scale.Shape, zero.Shape)
	}
	if scale.Len() == 1 {
		return 1, 1, nil
	}
	a, err := axisIndex(axis, len(shape))
	if err != nil {
		return 0, 0, err
	}
	if len(scale.Shape) != 1 || scale.Shape[0] != shape[a] {
		return 0, 0, fmt.Errorf("scale has shape %v; want a scalar or [%d]", scale.Shape, shape[a])
	}
	return shape[a], product(shape[a+1:]), nil
}

func quantizeLinear[T kernel.Float](n *node) (compute[T], error) {
	axis, to := quantizationAxis(n), onnxio.Undefined
	if n.version >= 19 {
		n.ignore("saturate") // of the 8-bit floats, which are refused
	}
	if n.version >= 21 {
		to = n.dataType("output_dtype", onnxio.Undefined)
	}
	if n.version >= 23 {
		n.ignore("precision") // at least the engine's
	}
	return func(x *exec[T], in []*Tensor[T]) ([]*Tensor[T], error) {
		v, scale, zero := in[0], in[1], in[2]
		t := to
		switch {
		case zero != nil:
			t = zero.Type
		case t == onnxio.Undefined:
			t = onnxio.Uint8
		}
		if !t.IsInteger() || t.Size() > 2 {
			return nil, fmt.Errorf("quantizing to %s is not supported; 8- and 16-bit integers are", t)
		}
		y, size, inner, err := x.quantized(t, v, axis, scale, zero)
		if err != nil {
			return nil, err
		}
		bits := 8 * t.Size()
		least, greatest := -math.Ldexp(1, int(bits-1)), math.Ldexp(1, int(bits-1))-1
		if isUnsigned(t) {
			least, greatest = 0, math.Ldexp(1, int(bits))-1
		}
		src, scales := floatsOf(v), floatsOf(scale)
		for i, e := range src {
			k := i / inner % size
			q := math.RoundToEven(float64(e / scales[k]))
			if zero != nil {
				q += float64(zero.I[k])
			}
			if math.IsNaN(q) {
				q = 0
			}
			y.I[i] = int64(max(least, min(q, greatest)))
		}
		return []*Tensor[T]{y}, nil
	}, nil
}

func dequantizeLinear[T kernel.Float](n *node) (compute[T], error) {
	axis, to := quantizationAxis(n), onnxio.Undefined
	if n.version >= 23 {
		to = n.dataType("output_dtype", onnxio.Undefined)
	}
	return func(x *exec[T], in []*Tensor[T]) ([]*Tensor[T], error) {
		v, scale, zero := in[0], in[1], in[2]
		t := to
		if t == onnxio.Undefined {
			t = scale.Type
		}
		if !t.IsFloat() {
			return nil, fmt.Errorf("dequantizing to %s is not supported; floating point is", t)
		}
		y, size, inner, err := x.quantized(t, v, axis, scale, zero)
		if err != nil {
			return nil, err
		}
		for i, e := range v.I {
			k := i / inner % size
			if zero != nil {
				e -= zero.I[k]
			}
			y.F[i] = T(e) * scale.F[k]
		}
		return []*Tensor[T]{y}, nil
	}, nil
}
