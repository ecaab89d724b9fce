package engine

import (
	"fmt"

	"efcn/onnxio"
)

// maxNodes bounds what inlining may make of a model: functions that call
// functions grow exponentially.
const maxNodes = 1 << 18

// maxCalls bounds how deep functions call functions.
const maxCalls = 64

type functionID struct{ domain, name, overload string }

// InlineFunctions returns a copy of m in which every call of a model-local
// function is replaced by the function's nodes. Values inside a function are
// called after the calling node: "label/name". A function that is written
// against another version of an operator set than the model is refused, as are
// functions that call themselves.
func InlineFunctions(m *onnxio.Model) (*onnxio.Model, error) {
	m = m.Clone()
	if len(m.Functions) == 0 {
		return m, nil
	}
	in := inliner{functions: map[functionID]*onnxio.Function{}, taken: map[string]bool{}}
	for _, f := range m.Functions {
		in.functions[functionID{onnxio.CanonicalDomain(f.Domain), f.Name, f.Overload}] = f
	}
	for id, f := range in.functions {
		for _, o := range f.Opsets {
			switch v := m.Opset(o.Domain); {
			case v == 0:
				m.Opsets = append(m.Opsets, o)
			case v != o.Version && !in.defines(o.Domain):
				return nil, fmt.Errorf("function %s.%s: opset %d of domain %q differs from the model's %d", id.domain, id.name, o.Version, o.Domain, v)
			}
		}
	}
	in.takeNames(m.Graph)
	nodes, err := in.nodes(m.Graph.Nodes, 0)
	if err != nil {
		return nil, err
	}
	m.Graph.Nodes = nodes
	m.Functions = nil
	return m, nil
}

type inliner struct {
	functions map[functionID]*onnxio.Function
	taken     map[string]bool // names in use
	visited   int             // nodes and calls so far
}

// defines says whether a domain is one of functions, whose version means nothing
// once they are inlined.
func (in *inliner) defines(domain string) bool {
	for id := range in.functions {
		if id.domain == onnxio.CanonicalDomain(domain) {
			return true
		}
	}
	return false
}

func (in *inliner) takeNames(g *onnxio.Graph) {
	for _, v := range g.Inputs {
		in.taken[v.Name] = true
	}
	for _, t := range g.Initializers {
		in.taken[t.Name] = true
	}
	for _, t := range g.SparseInitializers {
		in.taken[t.Values.Name] = true
	}
	for _, n := range g.Nodes {
		for _, o := range n.Outputs {
			in.taken[o] = true
		}
	}
}

// nodes expands the calls in a list, and in the subgraphs of its nodes.
func (in *inliner) nodes(list []*onnxio.Node, depth int) ([]*onnxio.Node, error) {
	out := make([]*onnxio.Node, 0, len(list))
	for _, n := range list {
		if in.visited++; in.visited > maxNodes {
			return nil, fmt.Errorf("functions expand to more than %d nodes", maxNodes)
		}
		f := in.functions[functionID{onnxio.CanonicalDomain(n.Domain), n.OpType, n.Overload}]
		if f == nil {
			for _, a := range n.Attributes {
				if a.G == nil {
					continue
				}
				inner, err := in.nodes(a.G.Nodes, depth)
				if err != nil {
					return nil, err
				}
				a.G.Nodes = inner
			}
			out = append(out, n)
			continue
		}
		if depth == maxCalls {
			return nil, n.Errorf("functions call each other more than %d deep", maxCalls)
		}
		body, err := in.call(n, f)
		if err != nil {
			return nil, err
		}
		if body, err = in.nodes(body, depth+1); err != nil {
			return nil, err
		}
		out = append(out, body...)
	}
	return out, nil
}

// call returns the nodes of f with the names and attributes of the call n.
func (in *inliner) call(n *onnxio.Node, f *onnxio.Function) ([]*onnxio.Node, error) {
	if len(n.Inputs) > len(f.Inputs) || len(n.Outputs) > len(f.Outputs) {
		return nil, n.Errorf("%d inputs and %d outputs; the function has %d and %d", len(n.Inputs), len(n.Outputs), len(f.Inputs), len(f.Outputs))
	}
	c := copier{names: map[string]string{}, attributes: map[string]*onnxio.Attribute{}}
	for _, a := range f.Defaults {
		c.attributes[a.Name] = a
	}
	for _, a := range n.Attributes {
		c.attributes[a.Name] = a
	}
	for i, name := range f.Inputs {
		c.names[name] = n.Input(i)
	}
	for i, name := range f.Outputs {
		if n.Output(i) == "" {
			continue
		}
		if _, input := c.names[name]; input {
			return nil, n.Errorf("the function's output %q is one of its inputs", name)
		}
		c.names[name] = n.Outputs[i]
	}
	for _, inner := range f.Nodes {
		for _, o := range inner.Outputs {
			if _, ok := c.names[o]; o != "" && !ok {
				c.names[o] = in.fresh(n.Label() + "/" + o)
			}
		}
	}
	body := make([]*onnxio.Node, len(f.Nodes))
	for i, inner := range f.Nodes {
		body[i] = c.node(inner)
		if body[i].Name != "" {
			body[i].Name = n.Label() + "/" + body[i].Name
		}
	}
	return body, nil
}

// fresh returns name, or name with a number if it is taken, and takes it.
func (in *inliner) fresh(name string) string {
	unique := name
	for k := 2; in.taken[unique]; k++ {
		unique = fmt.Sprintf("%s~%d", name, k)
	}
	in.taken[unique] = true
	return unique
}

// copier copies nodes under new names.
type copier struct {
	names      map[string]string // what is not in it keeps its name
	attributes map[string]*onnxio.Attribute
}

func (c *copier) name(name string) string {
	if to, ok := c.names[name]; ok {
		return to
	}
	return name
}

func (c *copier) node(n *onnxio.Node) *onnxio.Node {
	copied := *n
	copied.Inputs = make([]string, len(n.Inputs))
	for i, name := range n.Inputs {
		copied.Inputs[i] = c.name(name)
	}
	copied.Outputs = make([]string, len(n.Outputs))
	for i, name := range n.Outputs {
		copied.Outputs[i] = c.name(name)
	}
	copied.Attributes = nil
	for _, a := range n.Attributes {
		if a.RefName != "" {
			given := c.attributes[a.RefName]
			if given == nil {
				continue // the parameter is left out, so the attribute is
			}
			b := *given
			b.Name = a.Name
			copied.Attributes = append(copied.Attributes, &b)
			continue
		}
		b := *a
		if a.G != nil {
			b.G = c.graph(a.G)
		}
		copied.Attributes = append(copied.Attributes, &b)
	}
	return &copied
}

// graph copies a subgraph. Its own names stay: they are in a scope of their own.
func (c *copier) graph(g *onnxio.Graph) *onnxio.Graph {
	copied := *g
	copied.Nodes = make([]*onnxio.Node, len(g.Nodes))
	for i, n := range g.Nodes {
		copied.Nodes[i] = c.node(n)
	}
	copied.Outputs = make([]*onnxio.ValueInfo, len(g.Outputs))
	for i, o := range g.Outputs {
		renamed := *o
		renamed.Name = c.name(o.Name)
		copied.Outputs[i] = &renamed
	}
	return &copied
}
