package engine

import (
	"math"

	"efcn/internal/kernel"
	"efcn/onnxio"
)

// Cast and CastLike (https://onnx.ai/onnx/operators/onnx__Cast.html) between
// floating-point, integer and bool types. Floats truncate towards zero when
// they become integers, and wrap at the width of the type.
func init() {
	register(operator{
		name: "Cast", limits: "no strings, 8-bit or smaller floats, 4-bit or smaller integers",
		inputs: "v",
	}, cast[float32], cast[float64])
	register(operator{name: "CastLike", limits: "as Cast", inputs: "vv"}, castLike[float32], castLike[float64])
}

func cast[T kernel.Float](n *node) (compute[T], error) {
	n.need("to")
	to := n.dataType("to", onnxio.Undefined)
	ignoreEightBit(n)
	return func(x *exec[T], in []*Tensor[T]) ([]*Tensor[T], error) { return one(x.cast(in[0], to)) }, nil
}

// ignoreEightBit passes over what only matters to the 8-bit floats, which are
// refused.
func ignoreEightBit(n *node) {
	if n.version >= 19 {
		n.ignore("saturate")
	}
	if n.version >= 24 {
		n.ignore("round_mode")
	}
}

func castLike[T kernel.Float](n *node) (compute[T], error) {
	ignoreEightBit(n)
	return func(x *exec[T], in []*Tensor[T]) ([]*Tensor[T], error) { return one(x.cast(in[0], in[1].Type)) }, nil
}

// cast converts v; it returns v itself where nothing changes.
func (x *exec[T]) cast(v *Tensor[T], to onnxio.DataType) (*Tensor[T], error) {
	if v.Type == to {
		return v, nil
	}
	y, err := x.alloc(to, v.Shape)
	if err != nil {
		return nil, err
	}
	switch {
	case to.IsFloat():
		copy(y.F, floatsOf(v))
		Round(to, y.F)
	case to == onnxio.Bool:
		for i := range y.I {
			if v.Type.IsFloat() && v.F[i] != 0 || !v.Type.IsFloat() && v.I[i] != 0 {
				y.I[i] = 1
			}
		}
	case v.Type.IsFloat():
		castToInt(y.I, v.F, to)
	default:
		copy(y.I, v.I)
		wrap(to, y.I)
	}
	return y, nil
}

// Round rounds v, in place, to the precision of the 16-bit types, as a Cast to them does:
// to nearest, ties to even, to infinity what is too large. Of other types it leaves v alone,
// which the engine holds at its own precision.
func Round[T kernel.Float](t onnxio.DataType, v []T) {
	switch t {
	case onnxio.Float16:
		for i, e := range v {
			v[i] = T(halfValue(halfBits(float64(e))))
		}
	case onnxio.BFloat16:
		for i, e := range v {
			v[i] = T(bfloatValue(bfloatBits(float64(e))))
		}
	}
}

// castToInt truncates towards zero. What doesn't fit in 64 bits, and NaN, becomes
// the least integer, as on common hardware.
func castToInt[T kernel.Float](dst []int64, src []T, to onnxio.DataType) {
	for i, v := range src {
		f := float64(v)
		switch {
		case to == onnxio.Uint64 && f >= 1<<63 && f < 1<<64:
			dst[i] = int64(uint64(f))
		case f >= -1<<63 && f < 1<<63:
			dst[i] = int64(f)
		default:
			dst[i] = math.MinInt64
		}
	}
	wrap(to, dst)
}
