package onnxio

import "fmt"

// AttributeType says which field of an Attribute holds its value. The numbers
// are those of AttributeProto.AttributeType.
type AttributeType int32

// The kinds of attributes that ONNX defines.
const (
	AttrUndefined     AttributeType = 0
	AttrFloat         AttributeType = 1
	AttrInt           AttributeType = 2
	AttrString        AttributeType = 3
	AttrTensor        AttributeType = 4
	AttrGraph         AttributeType = 5
	AttrFloats        AttributeType = 6
	AttrInts          AttributeType = 7
	AttrStrings       AttributeType = 8
	AttrTensors       AttributeType = 9
	AttrGraphs        AttributeType = 10
	AttrSparseTensor  AttributeType = 11
	AttrSparseTensors AttributeType = 12
	AttrTypeProto     AttributeType = 13
	AttrTypeProtos    AttributeType = 14
)

var attributeTypeNames = [...]string{
	"undefined", "float", "int", "string", "tensor", "graph",
	"floats", "ints", "strings", "tensors", "graphs",
	"sparse_tensor", "sparse_tensors", "type_proto", "type_protos",
}

func (t AttributeType) String() string {
	if t >= 0 && int(t) < len(attributeTypeNames) {
		return attributeTypeNames[t]
	}
	return fmt.Sprintf("attribute type %d", int32(t))
}

// Attribute is one named constant of a node (AttributeProto). Type says which
// of the value fields is meant. Type protos are carried through a round trip
// without a field of their own.
type Attribute struct {
	Name    string
	RefName string // in a function: the parameter that supplies the value
	Doc     string
	Type    AttributeType

	F       float32
	I       int64
	S       []byte
	T       *Tensor
	G       *Graph
	Sparse  *SparseTensor
	Floats  []float32
	Ints    []int64
	Strings [][]byte
	Tensors []*Tensor
	Graphs  []*Graph
	Sparses []*SparseTensor

	rest rest
}

// Attr returns the attribute of that name, or nil.
func (n *Node) Attr(name string) *Attribute {
	for _, a := range n.Attributes {
		if a.Name == name {
			return a
		}
	}
	return nil
}

// attr returns the attribute of that name if it has the wanted type, nil if it
// is absent, and an error if it is there with another type.
func (n *Node) attr(name string, want AttributeType) (*Attribute, error) {
	a := n.Attr(name)
	if a == nil {
		return nil, nil
	}
	if a.Type != want {
		return nil, fmt.Errorf("attribute %s: want %s, got %s", name, want, a.Type)
	}
	return a, nil
}

// Int returns an integer attribute, or def if the node does not set it.
func (n *Node) Int(name string, def int64) (int64, error) {
	a, err := n.attr(name, AttrInt)
	if a == nil {
		return def, err
	}
	return a.I, nil
}

// Float returns a float attribute, or def if the node does not set it.
func (n *Node) Float(name string, def float32) (float32, error) {
	a, err := n.attr(name, AttrFloat)
	if a == nil {
		return def, err
	}
	return a.F, nil
}

// String returns a string attribute, or def if the node does not set it.
func (n *Node) String(name, def string) (string, error) {
	a, err := n.attr(name, AttrString)
	if a == nil {
		return def, err
	}
	return string(a.S), nil
}

// Ints returns a list of integers, or nil if the node does not set it. The
// slice is the attribute's own.
func (n *Node) Ints(name string) ([]int64, error) {
	a, err := n.attr(name, AttrInts)
	if a == nil {
		return nil, err
	}
	return a.Ints, nil
}

// Floats returns a list of floats, or nil if the node does not set it. The
// slice is the attribute's own.
func (n *Node) Floats(name string) ([]float32, error) {
	a, err := n.attr(name, AttrFloats)
	if a == nil {
		return nil, err
	}
	return a.Floats, nil
}

// Tensor returns a tensor attribute, or nil if the node does not set it.
func (n *Node) Tensor(name string) (*Tensor, error) {
	a, err := n.attr(name, AttrTensor)
	if a == nil {
		return nil, err
	}
	return a.T, nil
}

// IntAttr builds an integer attribute.
func IntAttr(name string, v int64) *Attribute {
	return &Attribute{Name: name, Type: AttrInt, I: v}
}

// FloatAttr builds a float attribute.
func FloatAttr(name string, v float32) *Attribute {
	return &Attribute{Name: name, Type: AttrFloat, F: v}
}

// IntsAttr builds a list-of-integers attribute; it keeps v.
func IntsAttr(name string, v ...int64) *Attribute {
	return &Attribute{Name: name, Type: AttrInts, Ints: v}
}

// StringAttr builds a string attribute.
func StringAttr(name, v string) *Attribute {
	return &Attribute{Name: name, Type: AttrString, S: []byte(v)}
}
