package onnxio

import (
	"strconv"
	"strings"
)

// Model is one ONNX model: a graph, the operator sets its nodes are written
// against, and what its producer said of itself. The fields mirror ModelProto
// (ONNX IR specification, docs/IR.md); what has no field here (training info,
// multi-device configurations, fields of a newer IR) is carried through a
// Read/Write round trip untouched.
type Model struct {
	IRVersion       int64
	Opsets          []Opset // opset_import, in file order
	ProducerName    string
	ProducerVersion string
	Domain          string
	ModelVersion    int64
	Doc             string
	Graph           *Graph
	Metadata        []Prop // metadata_props, in file order
	Functions       []*Function

	// Path is the file that the model was read from, "" for one built in
	// memory or read from a stream. Locations of external data are relative
	// to its folder.
	Path string

	rest rest
}

// Opset names an operator set and the version a model was written against.
// The default domain "ai.onnx" is written "".
type Opset struct {
	Domain  string
	Version int64
}

// Opset returns the version of the operator set of a domain that m imports,
// or 0 if it imports none. "" and "ai.onnx" are the same domain.
func (m *Model) Opset(domain string) int64 {
	for _, o := range m.Opsets {
		if CanonicalDomain(o.Domain) == CanonicalDomain(domain) {
			return o.Version
		}
	}
	return 0
}

// CanonicalDomain maps the two spellings of the default operator domain,
// "" and "ai.onnx", to "".
func CanonicalDomain(domain string) string {
	if domain == "ai.onnx" {
		return ""
	}
	return domain
}

// Prop is one key and value of a metadata_props list.
type Prop struct{ Key, Value string }

// Meta returns the value of the first property of that key.
func (m *Model) Meta(key string) (string, bool) {
	for _, p := range m.Metadata {
		if p.Key == key {
			return p.Value, true
		}
	}
	return "", false
}

// SetMeta replaces the property of that key, or appends it.
func (m *Model) SetMeta(key, value string) {
	for i := range m.Metadata {
		if m.Metadata[i].Key == key {
			m.Metadata[i].Value = value
			return
		}
	}
	m.Metadata = append(m.Metadata, Prop{key, value})
}

// Graph is a list of nodes in topological order, with the values that enter
// and leave it (GraphProto).
type Graph struct {
	Name               string
	Doc                string
	Nodes              []*Node
	Inputs             []*ValueInfo
	Outputs            []*ValueInfo
	ValueInfos         []*ValueInfo // what the file declares of intermediate values
	Initializers       []*Tensor
	SparseInitializers []*SparseTensor
	Metadata           []Prop

	rest rest
}

// Initializer returns the dense initializer of that name, or nil.
func (g *Graph) Initializer(name string) *Tensor {
	for _, t := range g.Initializers {
		if t.Name == name {
			return t
		}
	}
	return nil
}

// FeedInputs returns the inputs that a caller must supply: before IR version 4
// every initializer is listed among the inputs as well, and those are left out.
func (g *Graph) FeedInputs() []*ValueInfo {
	initialized := make(map[string]bool, len(g.Initializers))
	for _, t := range g.Initializers {
		initialized[t.Name] = true
	}
	for _, s := range g.SparseInitializers {
		initialized[s.Values.Name] = true
	}
	feeds := make([]*ValueInfo, 0, len(g.Inputs))
	for _, v := range g.Inputs {
		if !initialized[v.Name] {
			feeds = append(feeds, v)
		}
	}
	return feeds
}

// UnreadInputs returns the names of the inputs that no node reads, in no
// subgraph either, and that are no output. Some exporters leave such.
func (g *Graph) UnreadInputs() []string {
	read := make(map[string]bool)
	for _, o := range g.Outputs {
		read[o.Name] = true
	}
	w := walker{
		node: func(n *Node) {
			for _, name := range n.Inputs {
				read[name] = true
			}
		},
		graph: func(inner *Graph) {
			for _, o := range inner.Outputs {
				read[o.Name] = true
			}
		},
	}
	w.nodes(g.Nodes)
	var names []string
	for _, v := range g.FeedInputs() {
		if !read[v.Name] {
			names = append(names, v.Name)
		}
	}
	return names
}

// Function is a model-local function (FunctionProto).
type Function struct {
	Name, Domain, Overload, Doc string
	Inputs, Outputs             []string
	Attributes                  []string     // names of parameters without a default
	Defaults                    []*Attribute // parameters with a default
	Nodes                       []*Node
	Opsets                      []Opset
	ValueInfos                  []*ValueInfo
	Metadata                    []Prop

	rest rest
}

// Node is one application of an operator (NodeProto). An empty string among
// Inputs or Outputs is an optional one left out.
type Node struct {
	Name       string
	OpType     string
	Domain     string
	Overload   string
	Inputs     []string
	Outputs    []string
	Attributes []*Attribute
	Doc        string
	Metadata   []Prop

	rest rest
}

// Input returns the name of input i, "" if the node has none there.
func (n *Node) Input(i int) string {
	if i < len(n.Inputs) {
		return n.Inputs[i]
	}
	return ""
}

// Output returns the name of output i, "" if the node has none there.
func (n *Node) Output(i int) string {
	if i < len(n.Outputs) {
		return n.Outputs[i]
	}
	return ""
}

// ValueInfo names a value and says what it is (ValueInfoProto).
type ValueInfo struct {
	Name     string
	Type     TensorType
	Doc      string
	Metadata []Prop

	rest rest
}

// TensorType is the element type and shape of a tensor value. HasShape false
// means that nothing is known of the shape, not even its rank. A value that is
// no dense tensor (sequence, map, optional, sparse) has Elem Undefined; its
// declaration survives a round trip.
type TensorType struct {
	Elem     DataType
	HasShape bool
	Shape    Shape
}

// Shape is the list of a tensor's dimensions, outermost first.
type Shape []Dim

// Dim is one dimension: a number, a name that stands for one, or unknown.
type Dim struct {
	Value int64  // -1 unless known
	Param string // symbolic name, such as "batch"
}

// Fixed is the dimension of known size v.
func Fixed(v int64) Dim { return Dim{Value: v} }

// Symbol is the dimension called name; the empty name is an unknown dimension.
func Symbol(name string) Dim { return Dim{Value: -1, Param: name} }

// Known reports whether the dimension is a number.
func (d Dim) Known() bool { return d.Value >= 0 }

// String returns the number, the name, or ? for a dimension that has neither.
func (d Dim) String() string {
	switch {
	case d.Known():
		return strconv.FormatInt(d.Value, 10)
	case d.Param != "":
		return d.Param
	default:
		return "?"
	}
}

// String returns the dimensions in brackets, as in [batch 3 32 ?].
func (s Shape) String() string {
	dims := make([]string, len(s))
	for i, d := range s {
		dims[i] = d.String()
	}
	return "[" + strings.Join(dims, " ") + "]"
}
