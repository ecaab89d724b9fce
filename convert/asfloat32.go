package convert

import (
	"fmt"
	"math"
	"slices"

	"efcn/onnxio"
)

// As says in which floating-point type a model is embedded, if not its own.
type As string

// AsFloat32 embeds a CNN of float64, float16 or bfloat16 as one of float32.
const AsFloat32 As = "float32"

// otherFloats are the types that AsFloat32 converts.
var otherFloats = []onnxio.DataType{onnxio.Float64, onnxio.Float16, onnxio.BFloat16}

// typeAttributes are the attributes of operators of ai.onnx that hold an element
// type.
var typeAttributes = []string{"to", "dtype", "output_dtype", "output_datatype", "stash_type", "precision", "softmax_precision"}

// Float32 returns m with every float64, float16 and bfloat16 made float32: inputs
// and outputs, constants (rounded to the nearest, ties to even), and the types that
// nodes are told to compute in. It lists the types that there were; if there were
// none the model is m itself. The model then computes in float32 what it computed
// in its own type, with the roundings of float32 in place of its own: a Cast to a
// narrower type no longer rounds.
//
// An error names a constant that float32 has no room for, and a node that may
// depend on the type: one of another domain than ai.onnx, or a BitCast.
func Float32(m *onnxio.Model) (*onnxio.Model, []onnxio.DataType, error) {
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
		return nil, nil, c.foreign.Errorf("whether it computes the same in float32 is not known; convert the model where it was exported")
	}
	slices.Sort(c.found)
	return c.model, c.found, nil
}

// floatCaster makes a copy of a model float32.
type floatCaster struct {
	model   *onnxio.Model
	found   []onnxio.DataType
	foreign *onnxio.Node // the first that is not of ai.onnx
}

// elem returns the type that takes the place of t.
func (c *floatCaster) elem(t onnxio.DataType) onnxio.DataType {
	if !slices.Contains(otherFloats, t) {
		return t
	}
	if !slices.Contains(c.found, t) {
		c.found = append(c.found, t)
	}
	return onnxio.Float32
}

func (c *floatCaster) graph(g *onnxio.Graph) error {
	for _, list := range [][]*onnxio.ValueInfo{g.Inputs, g.Outputs, g.ValueInfos} {
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
		if c.foreign == nil && (onnxio.CanonicalDomain(n.Domain) != "" || n.OpType == "BitCast") {
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

func (c *floatCaster) attribute(a *onnxio.Attribute) error {
	var err error
	switch {
	case a.Type == onnxio.AttrInt && slices.Contains(typeAttributes, a.Name) && a.I > 0 && a.I <= math.MaxInt32:
		a.I = int64(c.elem(onnxio.DataType(a.I)))
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

func (c *floatCaster) sparse(s *onnxio.SparseTensor) (*onnxio.SparseTensor, error) {
	if s.Values == nil || c.elem(s.Values.Type) == s.Values.Type {
		return s, nil
	}
	values, err := c.tensor(s.Values)
	if err != nil {
		return nil, fmt.Errorf("sparse constant %q: %w", s.Values.Name, err)
	}
	return &onnxio.SparseTensor{Values: values, Indices: s.Indices, Dims: s.Dims}, nil
}

// tensor rounds a constant to float32.
func (c *floatCaster) tensor(t *onnxio.Tensor) (*onnxio.Tensor, error) {
	if c.elem(t.Type) == t.Type {
		return t, nil
	}
	list, err := onnxio.Floats[float64](t)
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
	return onnxio.NewTensor(t.Name, t.Dims, rounded), nil
}

// OtherTypeError says that no linear layer can be embedded, because their data are
// of a floating-point type that is not embedded.
type OtherTypeError struct {
	Node string // the first such layer
	Op   string
	Type onnxio.DataType
}

func (e *OtherTypeError) Error() string {
	return fmt.Sprintf("node %q (%s): its data are %s, and only float32 is embedded; converted as a whole to float32, which rounds the weights, it would be", e.Node, e.Op, e.Type)
}

// checkTypes returns an *OtherTypeError if nothing is embedded and a layer of
// another floating-point type is why.
func (p *Plan) checkTypes() error {
	if p.Coverage.Embedded > 0 {
		return nil
	}
	for _, n := range p.model.Graph.Nodes {
		at := slices.IndexFunc(p.Coverage.NotEmbedded, func(k Kept) bool { return k.Node == n.Label() })
		if at < 0 {
			continue
		}
		if t, ok := p.info.Type(n.Output(0)); ok && slices.Contains(otherFloats, t.Elem) {
			return &OtherTypeError{Node: n.Label(), Op: n.QualifiedOp(), Type: t.Elem}
		}
	}
	return nil
}
