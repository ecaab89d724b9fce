package onnxio

import "fmt"

// maxInlined bounds what inlining may make of a model: functions that call
// functions grow exponentially.
const maxInlined = 1 << 18

// maxInlineDepth bounds how deep functions call functions.
const maxInlineDepth = 64

type functionID struct{ domain, name, overload string }

// Inline returns a copy of m without model-local functions: every call of one is
// replaced by the function's nodes. Values inside a function are called after the
// calling node: "label/name". A function that is written against another version
// of an operator set than the model is an error, as is one that calls itself.
func (m *Model) Inline() (*Model, error) {
	m = m.Clone()
	if len(m.Functions) == 0 {
		return m, nil
	}
	in := inliner{functions: map[functionID]*Function{}, names: m.Graph.Names()}
	for _, f := range m.Functions {
		in.functions[functionID{CanonicalDomain(f.Domain), f.Name, f.Overload}] = f
	}
	for _, f := range m.Functions {
		for _, o := range f.Opsets {
			switch v := m.Opset(o.Domain); {
			case v == 0:
				m.Opsets = append(m.Opsets, o)
			case v != o.Version && !in.defines(o.Domain):
				return nil, fmt.Errorf("function %s.%s: opset %d of domain %q differs from the model's %d",
					CanonicalDomain(f.Domain), f.Name, o.Version, o.Domain, v)
			}
		}
	}
	nodes, err := in.nodes(m.Graph.Nodes, 0)
	if err != nil {
		return nil, err
	}
	m.Graph.Nodes = nodes
	m.Functions = nil
	return m, nil
}

type inliner struct {
	functions map[functionID]*Function
	names     *Names
	visited   int // nodes and calls so far
}

// defines reports whether a domain is one of functions, whose version means nothing
// once they are inlined.
func (in *inliner) defines(domain string) bool {
	for id := range in.functions {
		if id.domain == CanonicalDomain(domain) {
			return true
		}
	}
	return false
}

// nodes expands the calls in a list, and in the subgraphs of its nodes.
func (in *inliner) nodes(list []*Node, depth int) ([]*Node, error) {
	out := make([]*Node, 0, len(list))
	for _, n := range list {
		if in.visited++; in.visited > maxInlined {
			return nil, fmt.Errorf("functions expand to more than %d nodes", maxInlined)
		}
		f := in.functions[functionID{CanonicalDomain(n.Domain), n.OpType, n.Overload}]
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
		if depth == maxInlineDepth {
			return nil, n.Errorf("functions call each other more than %d deep", maxInlineDepth)
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
func (in *inliner) call(n *Node, f *Function) ([]*Node, error) {
	if len(n.Inputs) > len(f.Inputs) || len(n.Outputs) > len(f.Outputs) {
		return nil, n.Errorf("%d inputs and %d outputs; the function has %d and %d", len(n.Inputs), len(n.Outputs),
			len(f.Inputs), len(f.Outputs))
	}
	c := copier{names: map[string]string{}, attributes: map[string]*Attribute{}}
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
				c.names[o] = in.names.Free(n.Label() + "/" + o)
			}
		}
	}
	body := make([]*Node, len(f.Nodes))
	for i, inner := range f.Nodes {
		body[i] = c.node(inner)
		if body[i].Name != "" {
			body[i].Name = n.Label() + "/" + body[i].Name
		}
	}
	return body, nil
}

// Renamed returns a copy of n, and of the graphs inside it, in which the values
// that names maps have other names.
func (n *Node) Renamed(names map[string]string) *Node {
	return (&copier{names: names}).node(n)
}

// copier copies nodes under new names, and binds the attributes that refer to those
// of a function's call.
type copier struct {
	names      map[string]string // what is not in it keeps its name
	attributes map[string]*Attribute
}

func (c *copier) name(name string) string {
	if to, ok := c.names[name]; ok {
		return to
	}
	return name
}

func (c *copier) node(n *Node) *Node {
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
func (c *copier) graph(g *Graph) *Graph {
	copied := *g
	copied.Nodes = make([]*Node, len(g.Nodes))
	for i, n := range g.Nodes {
		copied.Nodes[i] = c.node(n)
	}
	copied.Outputs = make([]*ValueInfo, len(g.Outputs))
	for i, o := range g.Outputs {
		renamed := *o
		renamed.Name = c.name(o.Name)
		copied.Outputs[i] = &renamed
	}
	return &copied
}
