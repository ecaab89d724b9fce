package verify

import (
	"math"

	"efcn/internal/engine"
	"efcn/onnxio"
)

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

// eachElement bounds an operator element by element: bound is called with all inputs and the
// number of the element.
func (b *bounds) eachElement(node *onnxio.Node, ds [][]float64,
	bound func(in []spreadInput, i int) float64,
) ([]float64, error) {
	shape := b.values.header(node.Output(0)).Shape
	in, err := b.spreadInputs(node, ds, shape)
	if err != nil {
		return nil, err
	}
	d := make([]float64, product(shape))
	for i := range d {
		d[i] = bound(in, i)
	}
	return d, nil
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

// reach is how far a number may be from x that is within d of y.
func reach(x, y, d float64) float64 {
	if x == y { // infinite, too
		return d
	}
	return own * (math.Abs(x-y) + d)
}
