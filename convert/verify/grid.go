package verify

import (
	"fmt"
	"math"
	"slices"

	"efcn/onnxio"
)

// grid is the numbers s·(q − z) that the integers q of a type stand for, s the scale and z the
// zero point: one of each for a tensor, or for each index of one of its axes.
// https://onnx.ai/onnx/operators/onnx__QuantizeLinear.html
type grid struct {
	elem        onnxio.DataType
	scale, zero []float64
	axis        int64 // where there are several
}

// gridOf reads the grid of a QuantizeLinear or DequantizeLinear, elem the type of its integers
// where it has no zero point.
func gridOf(node *onnxio.Node, constants map[string]*onnxio.Tensor, elem onnxio.DataType) (*grid, error) {
	scale := constants[node.Input(1)]
	if scale == nil {
		return nil, &QuantizedFormError{node.Label(), node.QualifiedOp(), "takes a scale that is computed at run time"}
	}
	axis, err := node.Int("axis", 1)
	if err != nil {
		return nil, node.Wrap(err)
	}
	g := &grid{elem: elem, axis: axis}
	if g.scale, err = onnxio.Floats[float64](scale); err != nil {
		return nil, node.Wrap(err)
	}
	g.zero = make([]float64, len(g.scale))
	if name := node.Input(2); name != "" {
		zero := constants[name]
		if zero == nil {
			return nil, &QuantizedFormError{node.Label(), node.QualifiedOp(), "takes a zero point that is computed at run time"}
		}
		list, err := onnxio.Ints(zero)
		if err != nil || len(list) != len(g.scale) {
			return nil, node.Errorf("zero point %q: want %d integers, one for each scale", name, len(g.scale))
		}
		for i, z := range list {
			g.zero[i] = float64(z)
		}
		g.elem = zero.Type
	}
	for _, s := range g.scale {
		if !(s > 0) || math.IsInf(s, 1) {
			return nil, node.Errorf("scale %q: want a positive number, got %g", node.Input(1), s)
		}
	}
	return g, nil
}

// same reports whether two grids have the same numbers for the same integers.
func (g *grid) same(o *grid) bool {
	return g.elem == o.elem && slices.Equal(g.scale, o.scale) && slices.Equal(g.zero, o.zero) &&
		(g.axis == o.axis || len(g.scale) == 1)
}

// ends returns the least and the greatest number of scale k.
func (g *grid) ends(k int) (lo, hi float64) {
	least, greatest := rangeOf(g.elem)
	return g.scale[k] * (least - g.zero[k]), g.scale[k] * (greatest - g.zero[k])
}

// scaleOf returns which scale each element of a tensor of that shape has.
func (g *grid) scaleOf(shape []int) (func(i int) int, error) {
	if len(g.scale) == 1 {
		return func(int) int { return 0 }, nil
	}
	axis, err := axisOf(g.axis, len(shape))
	if err != nil {
		return nil, err
	}
	if shape[axis] != len(g.scale) {
		return nil, fmt.Errorf("%d scales for axis %d of %v", len(g.scale), axis, shape)
	}
	inner := product(shape[axis+1:])
	return func(i int) int { return i / inner % len(g.scale) }, nil
}

// loss bounds |y − x| for the number y of scale k that stands for x. The nearest number is within
// s/2 of it where x is not more than s/2 outside the range, and the end of the range else:
//
//	|y − x| ≤ max(s/2, |x − clip(x)|)
//
// beyond reports that x is further outside, so that it is cut off.
func (g *grid) loss(k int, x float64) (d float64, beyond bool) {
	lo, hi := g.ends(k)
	half, cut := g.scale[k]/2, math.Max(lo-x, x-hi)
	if cut <= half {
		return half, false
	}
	return cut, true
}

// lossOf is loss where the one who quantizes is given some x̃ with |x̃ − x| ≤ d. Either x̃ is
// clipped, which brings it no further from clip(x), and rounded; or it is lossy itself:
//
//	|y − x| ≤ d + min(s/2 + |x − clip(x)|, max(s/2, |x − clip(x)| + d))
func (g *grid) lossOf(k int, x, d float64) float64 {
	lo, hi := g.ends(k)
	half, cut := g.scale[k]/2, math.Max(0, math.Max(lo-x, x-hi))
	return d + math.Min(half+cut, math.Max(half, cut+d))
}

// nearest returns the number of scale k that stands for x.
func (g *grid) nearest(k int, x float64) float64 {
	least, greatest := rangeOf(g.elem)
	q := math.RoundToEven(x/g.scale[k]) + g.zero[k]
	return g.scale[k] * (math.Max(least, math.Min(greatest, q)) - g.zero[k])
}
