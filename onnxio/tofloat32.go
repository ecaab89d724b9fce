package onnxio

import (
	"fmt"
	"math"
	"slices"
)

// typeAttributes are the attributes of operators of ai.onnx that hold an element
// type.
var typeAttributes = []string{
	"to", "dtype", "output_dtype", "output_datatype", "stash_type", "precision",
	"softmax_precision",
}

// ToFloat32 returns m with every float64, float16 and bfloat16 made float32: inputs
// and outputs, constants (rounded to the nearest, ties to even), and the types that
// nodes are told to compute in. It lists the types that there were; if there were
// none the model is m itself. The model then computes in float32 what it computed
// in its own type, with the roundings of float32 in place of its own: a Cast to a
// narrower type no longer rounds.
//
// An error names a constant that float32 has no room for, and a node that may
// depend on the type: one of another domain than ai.onnx, or a BitCast.
func ToFloat32(m *Model) (*Model, []DataType, error) {
	c := &floatCaster{model: m.Clone()}
	if m.Graph == nil {
		return m, nil, nil
	}
	if err := c.graph(c.model.Graph); err != nil {
		return nil, nil, err
	}
	if len(c.found) == 0 {
		return m, nil, nil
	}
	if c.foreign != nil {
		return nil, nil, c.foreign.Errorf("whether it computes the same in float32 is not known; convert the " +
			"model where it was exported")
	}
	slices.Sort(c.found)
	return c.model, c.found, nil
}

// floatCaster makes a copy of a model float32.
type floatCaster struct {
	model   *Model
	found   []DataType
	foreign *Node // the first that is not of ai.onnx
}

// elem returns the type that takes the place of t.
func (c *floatCaster) elem(t DataType) DataType {
	if !t.IsFloat() || t == Float32 {
		return t
	}
	if !slices.Contains(c.found, t) {
		c.found = append(c.found, t)
	}
	return Float32
}

func (c *floatCaster) graph(g *Graph) error {
	for _, list := range [][]*ValueInfo{g.Inputs, g.Outputs, g.ValueInfos} {
		for _, v := range list {
			v.Type.Elem = c.elem(v.Type.Elem)
		}
	}
	var err error
	for i, t := range g.Initializers {
		if g.Initializers[i], err = c.tensor(t); err != nil {
			return fmt.Errorf("initializer %q: %w", t.Name, err)
		}
	}
	for i, s := range g.SparseInitializers {
		if g.SparseInitializers[i], err = c.sparse(s); err != nil {
			return err
		}
	}
	for _, n := range g.Nodes {
		if c.foreign == nil && (CanonicalDomain(n.Domain) != "" || n.OpType == "BitCast") {
			c.foreign = n
		}
		for _, a := range n.Attributes {
			if err := c.attribute(a); err != nil {
				return n.Wrap(err)
			}
		}
	}
	return nil
}

func (c *floatCaster) attribute(a *Attribute) error {
	var err error
	switch {
	case a.Type == AttrInt && slices.Contains(typeAttributes, a.Name) && a.I > 0 && a.I <= math.MaxInt32:
		a.I = int64(c.elem(DataType(a.I)))
	case a.T != nil:
		a.T, err = c.tensor(a.T)
	case a.Sparse != nil:
		a.Sparse, err = c.sparse(a.Sparse)
	case a.G != nil:
		err = c.graph(a.G)
	}
	for i := range a.Tensors {
		if err == nil {
			a.Tensors[i], err = c.tensor(a.Tensors[i])
		}
	}
	for _, g := range a.Graphs {
		if err == nil {
			err = c.graph(g)
		}
	}
	return err
}

func (c *floatCaster) sparse(s *SparseTensor) (*SparseTensor, error) {
	if s.Values == nil || c.elem(s.Values.Type) == s.Values.Type {
		return s, nil
	}
	values, err := c.tensor(s.Values)
	if err != nil {
		return nil, fmt.Errorf("sparse constant %q: %w", s.Values.Name, err)
	}
	return &SparseTensor{Values: values, Indices: s.Indices, Dims: s.Dims}, nil
}

// tensor rounds a constant to float32.
func (c *floatCaster) tensor(t *Tensor) (*Tensor, error) {
	if c.elem(t.Type) == t.Type {
		return t, nil
	}
	list, err := Floats[float64](t)
	if err != nil {
		return nil, err
	}
	rounded := make([]float32, len(list))
	for i, v := range list {
		rounded[i] = float32(v)
		if math.IsInf(float64(rounded[i]), 0) && !math.IsInf(v, 0) {
			return nil, fmt.Errorf("element %d is %g, which float32 has no room for", i, v)
		}
	}
	return NewTensor(t.Name, t.Dims, rounded), nil
}
