package verify

import (
	"math"

	"efcn/internal/engine"
	"efcn/onnxio"
)

// compares says whether a node compares two numbers, or asks one what kind it is.
func compares(node *onnxio.Node) bool {
	return isOp(node, "Equal", "Greater", "Less", "GreaterOrEqual", "LessOrEqual", "IsNaN", "IsInf")
}

// spreadInput is an input of a node, broadcast to the shape of its output.
type spreadInput struct{ x, d []float64 }

// at returns the bound of element i.
func (s *spreadInput) at(i int) float64 {
	if s.d == nil {
		return 0
	}
	return s.d[i]
}

// spreadInputs broadcasts a node's inputs, and their bounds, to a shape.
func (b *bounds) spreadInputs(node *onnxio.Node, ds [][]float64, shape []int) ([]spreadInput, error) {
	all := make([]spreadInput, len(node.Inputs))
	for i, name := range node.Inputs {
		v, err := b.value(name)
		if err != nil {
			return nil, err
		}
		if all[i].x, err = b.spread(asReal(v), shape); err != nil {
			return nil, err
		}
		if ds[i] == nil {
			continue
		}
		if all[i].d, err = b.spread(like(v, ds[i]), shape); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// spread broadcasts a value to a shape.
func (b *bounds) spread(v *engine.Tensor[float64], shape []int) ([]float64, error) {
	to := &engine.Tensor[float64]{Type: onnxio.Int64, Shape: []int{len(shape)}}
	for _, n := range shape {
		to.I = append(to.I, int64(n))
	}
	out, err := b.apply("Expand", v, to)
	if err != nil {
		return nil, err
	}
	return out.F, nil
}

// asReal returns a value whose elements are floating point, whatever type they are of.
func asReal(v *engine.Tensor[float64]) *engine.Tensor[float64] {
	if v == nil || v.Type.IsFloat() {
		return v
	}
	return &engine.Tensor[float64]{Type: onnxio.Float64, Shape: v.Shape, F: numbers(v)}
}

// sizes returns magnitudes as floating-point numbers, of integers too.
func sizes(m *engine.Tensor[float64]) *engine.Tensor[float64] {
	if m == nil || m.Type.IsFloat() {
		return m
	}
	m = asReal(m)
	for i, v := range m.F {
		m.F[i] = math.Abs(v)
	}
	return m
}

// compared bounds a comparison: it may go either way where its operands are no
// further apart than both bounds together.
func (b *bounds) compared(node *onnxio.Node, ds [][]float64) ([]float64, error) {
	shape := b.values.header(node.Output(0)).Shape
	all, err := b.spreadInputs(node, ds, shape)
	if err != nil {
		return nil, err
	}
	d := make([]float64, product(shape))
	for i := range d {
		var either bool
		if len(all) == 1 { // IsNaN, IsInf: a finite bound keeps a number what it is
			either = math.IsInf(all[0].at(i), 1)
		} else {
			e := all[0].at(i) + all[1].at(i)
			either = e > 0 && !(math.Abs(all[0].x[i]-all[1].x[i]) > own*e)
		}
		if either {
			d[i] = 1
		}
	}
	return d, nil
}

// logical bounds And, Or, Xor and Not.
func (b *bounds) logical(node *onnxio.Node, ds [][]float64) ([]float64, error) {
	shape := b.values.header(node.Output(0)).Shape
	all, err := b.spreadInputs(node, ds, shape)
	if err != nil {
		return nil, err
	}
	d := make([]float64, product(shape))
	for i := range d {
		decided := false // by an operand that both computations have
		for k := range all {
			sure := all[k].at(i) == 0
			decided = decided || sure && (isOp(node, "And") && all[k].x[i] == 0 || isOp(node, "Or") && all[k].x[i] != 0)
			if !sure {
				d[i] = 1
			}
		}
		if decided {
			d[i] = 0
		}
	}
	return d, nil
}

// chosen bounds Where: the element that is chosen has its own bound and, where the
// condition may be either, the distance to the other one with its bound.
func (b *bounds) chosen(node *onnxio.Node, ds [][]float64) ([]float64, error) {
	shape := b.values.header(node.Output(0)).Shape
	all, err := b.spreadInputs(node, ds, shape)
	if err != nil {
		return nil, err
	}
	d := make([]float64, product(shape))
	for i := range d {
		here, there := &all[1], &all[2]
		if all[0].x[i] == 0 {
			here, there = there, here
		}
		d[i] = here.at(i)
		if all[0].at(i) > 0 {
			d[i] = math.Max(d[i], reach(here.x[i], there.x[i], there.at(i)))
		}
	}
	return d, nil
}

// reach is how far a number may be from x that is within d of y.
func reach(x, y, d float64) float64 {
	if x == y { // infinite, too
		return d
	}
	return own * (math.Abs(x-y) + d)
}
