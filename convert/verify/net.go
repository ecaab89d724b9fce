package verify

import (
	"fmt"
	"regexp"
	"slices"

	"efcn/onnxio"
)

// net is a model with what is looked up in it again and again.
type net struct {
	*onnxio.Links

	model     *onnxio.Model
	graph     *onnxio.Graph
	opset     int64
	constants map[string]*onnxio.Tensor
	// sparse are the constants that the model stores sparse, by name; each is one
	// of constants too.
	sparse map[string]*onnxio.SparseTensor
	// fromShapes is what follows from declared shapes alone.
	fromShapes fromShapes
	// ends are the values that a layer in local form ends with, though it is a
	// Flatten that computes them.
	ends map[string]bool
	// lacks are the nodes that the embedded engine cannot run, and elsewhere what
	// runs them.
	lacks     map[*onnxio.Node]bool
	elsewhere *elsewhere
	// foreign are the values that the embedded engine cannot hold; the node that
	// computes one runs together with those that read it.
	foreign map[string]bool
}

func newNet(m *onnxio.Model) (*net, error) {
	if m.Graph == nil {
		return nil, fmt.Errorf("the model has no graph")
	}
	n := &net{
		Links: m.Graph.Links(), model: m, graph: m.Graph, opset: m.Opset(""),
		constants: make(map[string]*onnxio.Tensor),
	}
	for _, t := range m.Graph.Initializers {
		n.constants[t.Name] = t
	}
	return n, nil
}

// floats returns the elements of constant input i of a node. ok is false where
// the input is left out.
func (n *net) floats(node *onnxio.Node, i int) (v []float32, dims []int64, ok bool, err error) {
	name := node.Input(i)
	if name == "" {
		return nil, nil, false, nil
	}
	t := n.constants[name]
	if t == nil {
		return nil, nil, false, fmt.Errorf("input %d (%q) is computed at run time", i, name)
	}
	v, err = onnxio.Floats[float32](t)
	if err != nil {
		return nil, nil, false, fmt.Errorf("input %d (%q): %w", i, name, err)
	}
	return v, t.Dims, true, nil
}

// formSuffix is what a converter appends to the name of a value of the CNN for
// its other form: the vector of a tensor, or the tensor of a vector.
var formSuffix = regexp.MustCompile(`/(vec|nd)(_[0-9]+)?$`)

// valueOf returns the name of the CNN's value that the eFCN's value of that
// name holds: its own name, or what is left of it without the suffix that says
// in which form it is. ok is false if the CNN has neither.
func (n *net) valueOf(name string) (string, bool) {
	if n.defines(name) {
		return name, true
	}
	if short := formSuffix.ReplaceAllString(name, ""); short != name && n.defines(short) {
		return short, true
	}
	return "", false
}

// defines reports whether n computes, or is fed, a value of that name.
func (n *net) defines(name string) bool {
	if n.Producer(name) != nil {
		return true
	}
	return n.constants[name] == nil && slices.ContainsFunc(n.graph.Inputs,
		func(v *onnxio.ValueInfo) bool { return v.Name == name })
}

// passes reports whether a node only reshapes a value that the model has before it,
// too. The Flatten at the end of a layer in local form does not: what it reshapes
// is in no order that the CNN knows.
func (n *net) passes(node *onnxio.Node) bool {
	return operatorOf(node).reshapes && !n.ends[node.Output(0)]
}

// origin follows a value back through nodes that only reshape.
func (n *net) origin(name string) string {
	for node := n.Producer(name); n.passes(node) && node.Input(0) != "" &&
		n.constants[node.Input(0)] == nil; node = n.Producer(name) {
		name = node.Input(0)
	}
	return name
}
