package verify

import (
	"math"

	"efcn/internal/engine"
	"efcn/onnxio"
)

// https://onnx.ai/onnx/operators/onnx__QuantizeLinear.html
// https://onnx.ai/onnx/operators/onnx__DequantizeLinear.html
func init() {
	register(
		operator{
			name: "QuantizeLinear", elementwise: true, axis: always[int64](1), steps: step(quantizeBound),
			defaults:   always(spelling{"saturate": "1"}),
			resultType: quantizedType,
		},
		operator{
			name: "DequantizeLinear", elementwise: true, bound: oneOutput((*bounds).dequantized),
			axis: always[int64](1),
		},
	)
}

// alongAxis gives a scale or a zero point of one number for each index of an axis
// the rank of the value that it is for, so that it broadcasts.
func (b *bounds) alongAxis(node *onnxio.Node, v *engine.Tensor[float64], rank int) (*engine.Tensor[float64], error) {
	shape := make([]int, rank)
	for i := range shape {
		shape[i] = 1
	}
	if n := product(v.Shape); n != 1 {
		axis, err := b.net.axis(node)
		if err != nil {
			return nil, err
		}
		shape[(int(axis)+rank)%rank] = n
	}
	return &engine.Tensor[float64]{Type: v.Type, Shape: shape, F: v.F, I: v.I}, nil
}

// quantization broadcasts the operands of QuantizeLinear or DequantizeLinear: the
// value, the scale, and the zero point, 0 without one.
func (b *bounds) quantization(node *onnxio.Node, ds [][]float64) ([3]spreadInput, error) {
	var all [3]spreadInput
	shape := b.values.header(node.Output(0)).Shape
	all[2].x = make([]float64, product(shape))
	for i, name := range node.Inputs {
		if name == "" {
			continue
		}
		v, err := b.value(name)
		if err != nil {
			return all, err
		}
		if i > 0 {
			if v, err = b.alongAxis(node, v, len(shape)); err != nil {
				return all, err
			}
		}
		if all[i].x, err = b.spread(asReal(v), shape); err != nil {
			return all, err
		}
		if ds[i] == nil {
			continue
		}
		if all[i].d, err = b.spread(like(v, ds[i]), shape); err != nil {
			return all, err
		}
	}
	return all, nil
}

// quantizeBound bounds QuantizeLinear.
func quantizeBound(b *bounds, node *onnxio.Node, ds [][]float64) ([]float64, []int, error) {
	if ds[1] == nil && (len(ds) < 3 || ds[2] == nil) {
		return plateau(b, node, ds)
	}
	d, err := b.quantizedBy(node, ds)
	return d, nil, err
}

// quantizedBy bounds a QuantizeLinear by a scale and zero point that are computed
// and may differ themselves: x/s moves by (d_x + |x/s|d_s)/(|s| − d_s), and the
// result to the integers that this reaches.
func (b *bounds) quantizedBy(node *onnxio.Node, ds [][]float64) ([]float64, error) {
	all, err := b.quantization(node, ds)
	if err != nil {
		return nil, err
	}
	y := b.values.header(node.Output(0))
	least, greatest := rangeOf(y.Type)
	d := make([]float64, product(y.Shape))
	for i := range d {
		dx, s, e := all[0].at(i), math.Abs(all[1].x[i]), all[1].at(i)
		if dx == 0 && e == 0 && all[2].at(i) == 0 {
			continue
		}
		q := all[0].x[i] / all[1].x[i]
		moves := own * ((dx+math.Abs(q)*e)/(s-e) + 4*b.unit*math.Abs(q))
		if !(e < s) || math.IsNaN(moves) {
			d[i] = greatest - least
			continue
		}
		at := math.RoundToEven(q)
		d[i] = math.Max(math.RoundToEven(q+moves)-at, at-math.RoundToEven(q-moves)) + all[2].at(i)
		d[i] = math.Min(d[i], greatest-least)
	}
	return d, nil
}

// dequantized bounds DequantizeLinear, (x − z)·s: of equal operands both models
// make equal bits.
func (b *bounds) dequantized(node *onnxio.Node, ds [][]float64) ([]float64, error) {
	all, err := b.quantization(node, ds)
	if err != nil {
		return nil, err
	}
	d := make([]float64, len(all[0].x))
	for i := range d {
		n, s := math.Abs(all[0].x[i]-all[2].x[i]), math.Abs(all[1].x[i])
		dn, e := all[0].at(i)+all[2].at(i), all[1].at(i)
		if dn != 0 || e != 0 {
			d[i] = own * (s*dn + (n+dn)*e + 2*b.unit*(n+dn)*(s+e) + 2*b.tiny)
		}
		if b.pair() {
			d[i] += own*(16*b.unit+2*b.parameters)*n*s + 2*b.tiny
		}
	}
	return d, nil
}

// quantizedType is the type of the zero point, or else an attribute.
func quantizedType(n *net, node *onnxio.Node) onnxio.DataType {
	if zero := n.constants[node.Input(2)]; zero != nil {
		return zero.Type
	}
	t, err := node.Int("output_dtype", int64(onnxio.Undefined))
	if err != nil {
		return onnxio.Undefined // the engine says what is wrong
	}
	return onnxio.DataType(t)
}
