package verify

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"efcn/internal/engine"
	"efcn/onnxio"
)

// diagonal is the map of an operator that computes every element of one value from one: times
// a factor, and plus a number.
type diagonal struct {
	scale func(r int, v float64) float64 // v times the factor of element r; nil for 1
	shift func(r int) float64            // nil for 0
}

// errNotLinear says that an operator is no such map.
var errNotLinear = errors.New("a constant divided by a value is not linear")

// diagonalData returns which input of a node each element of its output is computed from; false
// if it is no such operator, or not with one constant.
func (n *net) diagonalData(node *onnxio.Node) (data int, ok bool) {
	op := operatorOf(node)
	if op.diagonal == nil || !op.twoSided {
		return 0, op.diagonal != nil
	}
	data, ok = n.operands(node)
	return data, ok
}

// operands returns which of a node's two inputs is computed, if the other is constant.
func (n *net) operands(node *onnxio.Node) (data int, ok bool) {
	if len(node.Inputs) != 2 {
		return 0, false
	}
	for data = range 2 {
		if n.constants[node.Input(1-data)] != nil && n.constants[node.Input(data)] == nil {
			return data, true
		}
	}
	return 0, false
}

// constantAt returns the element of constant input i that broadcasting puts at each element of a
// sample of a value of that shape.
func (n *net) constantAt(node *onnxio.Node, i int, shape []int) (func(r int) float64, error) {
	t := n.constants[node.Input(i)]
	v, err := engine.FromONNX[float64](t)
	if err != nil {
		return nil, err
	}
	return func(r int) float64 {
		from := 0
		if len(shape) > 0 && len(t.Dims) <= len(shape) {
			from = broadcastFrom(r, shape, t.Dims)
		}
		if from >= len(v.F) {
			return math.NaN()
		}
		return v.F[from]
	}, nil
}

// scaledBy is the diagonal of an operator that multiplies by a constant, or divides by it.
func scaledBy(scale func(v, c float64) float64) func(*net, *onnxio.Node, int, []int) (*diagonal, error) {
	return func(n *net, node *onnxio.Node, data int, shape []int) (*diagonal, error) {
		c, err := n.constantAt(node, 1-data, shape)
		return &diagonal{scale: func(r int, v float64) float64 { return scale(v, c(r)) }}, err
	}
}

// diagonalMatrix is the map of an operator that computes every element from one, on values of
// that shape.
func (s *structure) diagonalMatrix(node *onnxio.Node, data int, shape []int) (*matrix, error) {
	if len(shape) < 2 || !slices.Equal(shape, s.shapes[node.Input(data)]) {
		return nil, fmt.Errorf("it makes %v of %v", shape, s.shapes[node.Input(data)])
	}
	if c := s.cnn.constants[node.Input(1-data)]; operatorOf(node).twoSided &&
		(len(c.Dims) > len(shape) || len(c.Dims) == len(shape) && c.Dims[0] != 1) {
		return nil, fmt.Errorf("its constant %v does not fit %v", c.Dims, shape)
	}
	d, err := operatorOf(node).diagonal(s.cnn, node, data, shape)
	if err != nil {
		return nil, err
	}
	size := product(shape[1:])
	m := &matrix{
		rows: size, cols: size, inShape: shape[1:], outShape: shape[1:], hasBias: d.shift != nil,
		entries: func(r int, entry func(int, float64, float64)) {
			v := 1.0
			if d.scale != nil {
				v = d.scale(r, v)
			}
			entry(r, v, 0)
		},
	}
	if d.shift != nil {
		m.bias = func(r int) (float64, float64) { return d.shift(r), 0 }
	}
	return m, nil
}

// withConstant returns the magnitudes of an operator on a value and a constant, which op
// puts together.
func withConstant(op string) func(*bounds, *onnxio.Node, *engine.Tensor[float64]) (*engine.Tensor[float64], error) {
	return func(b *bounds, node *onnxio.Node, x *engine.Tensor[float64]) (*engine.Tensor[float64], error) {
		data, _ := b.net.operands(node)
		c, err := b.magnitude(node.Input(1 - data))
		if err != nil {
			return nil, err
		}
		return b.apply(op, x, c)
	}
}
