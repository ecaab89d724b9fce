package verify

import (
	"math"

	"efcn/onnxio"
)

// https://onnx.ai/onnx/operators/onnx__Cast.html
// https://onnx.ai/onnx/operators/onnx__CastLike.html
func init() {
	register(
		operator{
			name: "Cast", elementwise: true, steps: castBound, anyEngine: true,
			defaults: always(spelling{"saturate": "1"}),
			integers: castIntegers, resultType: castType,
		},
		operator{name: "CastLike", steps: castBound},
	)
}

// castBound bounds a Cast. To a floating-point type as wide as the arithmetic it is
// exact; to a narrower one, and to integers, it has plateaus.
func castBound(b *bounds, node *onnxio.Node, ds [][]float64) ([][]float64, error) {
	x, err := b.value(node.Input(0))
	if err != nil || ds[0] == nil {
		return nil, err
	}
	y := b.values.value(node.Output(0))
	switch {
	case y.Type == onnxio.Float32 || y.Type == onnxio.Float64:
		// Integers beyond the arithmetic's are rounded.
		d := append([]float64(nil), ds[0]...)
		if !x.Type.IsFloat() {
			for i, v := range y.F {
				if d[i] > 0 && math.Abs(v)+d[i] > 1/b.unit {
					d[i] += 4 * b.unit * (math.Abs(v) + d[i])
				}
			}
		}
		return [][]float64{d}, nil
	case y.Type.IsFloat():
		d, _, err := plateau(b, node, ds)
		return [][]float64{d}, err
	}
	d := make([]float64, y.Len())
	least, greatest := rangeOf(y.Type)
	for i, v := range numbers(x) {
		e := ds[0][i]
		switch {
		case e == 0:
		case math.IsNaN(v) || math.IsInf(e, 1):
			d[i] = greatest - least
		case y.Type == onnxio.Bool:
			if math.Abs(v) <= e {
				d[i] = 1
			}
		default:
			lo, hi := math.Trunc(v-e), math.Trunc(v+e)
			switch {
			case lo == hi:
			case lo < least || hi > greatest: // it wraps
				d[i] = greatest - least
			default:
				d[i] = math.Max(hi-math.Trunc(v), math.Trunc(v)-lo)
			}
		}
	}
	if x.Type.IsFloat() || y.Type == onnxio.Bool {
		b.near(node.Output(0), positive(d))
	}
	if len(positive(d)) == 0 {
		d = nil
	}
	return [][]float64{d}, nil
}

func castType(_ *net, node *onnxio.Node) onnxio.DataType {
	to, err := node.Int("to", int64(onnxio.Undefined))
	if err != nil {
		return onnxio.Undefined // the engine says what is wrong
	}
	return onnxio.DataType(to)
}

// castIntegers: what becomes a truth value is 0 or 1 if nothing else is known.
func castIntegers(n *net, node *onnxio.Node, _, depth int) span {
	r := n.taken(node.Output(0), depth+1)
	if r.empty() && castType(n, node) == onnxio.Bool {
		return span{lo: 0, hi: 1}
	}
	return r
}
