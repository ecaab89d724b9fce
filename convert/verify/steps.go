package verify

import (
	"math"

	"efcn/internal/engine"
	"efcn/onnxio"
)

// A discontinuous operator has steps: places where its result jumps, however
// little its operand moves. Two computations whose operands differ by rounding may
// land on either side of one, which is no fault of either.
//
// The bound knows where the steps are. Where an operand lies further from every
// step than its own bound, the results are on one plateau and have to be equal;
// where it lies within its bound of one, the bound of the result is the distance to
// the plateaus that can be reached, and what follows is bounded from there. Nothing
// else is allowed for: a scale, a threshold or an axis that is wrong moves
// elements whose operands are nowhere near a step.

// near notes which elements of a value may be on either side of a step.
func (b *bounds) near(name string, at []int) {
	if len(at) == 0 || name == "" {
		return
	}
	if b.nearSteps == nil {
		b.nearSteps = make(map[string][]int)
	}
	b.nearSteps[name] = at
}

// step is the bound of an operator with steps and one output. bound returns which elements may
// be on either side of a step, or nil: all of a bound above 0.
func step(bound func(b *bounds, node *onnxio.Node, ds [][]float64) (d []float64, near []int, err error)) boundFunc {
	return func(b *bounds, node *onnxio.Node, ds [][]float64) ([][]float64, error) {
		d, near, err := bound(b, node, ds)
		if err != nil {
			return nil, err
		}
		if near == nil {
			near = positive(d)
		}
		b.near(node.Output(0), near)
		if len(positive(d)) == 0 {
			d = nil // the same plateaus, the same bits
		}
		return [][]float64{d}, nil
	}
}

// conclusive returns bounds with +Inf for those that say nothing of an operand: that an
// element may be on either side of a step is said only where its own bound is small.
func (b *bounds) conclusive(node *onnxio.Node, ds [][]float64) [][]float64 {
	out := make([][]float64, len(ds))
	for i, d := range ds {
		out[i] = d
		if v := b.values.value(node.Input(i)); v != nil {
			out[i] = conclusive(v, d, nil, b.conclusiveShare())
		}
	}
	return out
}

// positive lists the elements that are more than 0.
func positive(d []float64) []int {
	var at []int
	for i, v := range d {
		if v > 0 {
			at = append(at, i)
		}
	}
	return at
}

// rangeOf returns the least and greatest number of an integer type, as far as
// int64 holds them; 0 and 1 for bool.
func rangeOf(t onnxio.DataType) (least, greatest float64) {
	if t == onnxio.Bool {
		return 0, 1
	}
	bits := int(8 * t.Size())
	switch t {
	case onnxio.Uint8, onnxio.Uint16, onnxio.Uint32:
		return 0, math.Ldexp(1, bits) - 1
	case onnxio.Uint64:
		return 0, 1<<63 - 1024
	case onnxio.Int64:
		return -1 << 63, 1<<63 - 1024 // the greatest float64 that is an int64
	default:
		return -math.Ldexp(1, bits-1), math.Ldexp(1, bits-1) - 1
	}
}

// numbers returns the elements of a value as float64, whatever its type.
func numbers(v *engine.Tensor[float64]) []float64 {
	if v.Type.IsFloat() {
		return v.F
	}
	f := make([]float64, len(v.I))
	for i, x := range v.I {
		f[i] = float64(x)
	}
	return f
}
