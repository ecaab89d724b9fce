package onnxio

import "slices"

// Clone returns a copy of m whose lists, nodes, value infos and attributes may
// be edited without touching m. Tensors are shared: to change one, put another
// in its place.
func (m *Model) Clone() *Model {
	c := *m
	c.Opsets = slices.Clone(m.Opsets)
	c.Metadata = slices.Clone(m.Metadata)
	c.Graph = m.Graph.clone()
	c.Functions = cloneAll(m.Functions, (*Function).clone)
	return &c
}

// cloneAll copies a list and each of its items.
func cloneAll[T any](list []*T, clone func(*T) *T) []*T {
	out := slices.Clone(list)
	for i := range out {
		out[i] = clone(out[i])
	}
	return out
}

func (g *Graph) clone() *Graph {
	if g == nil {
		return nil
	}
	c := *g
	c.Nodes = cloneAll(g.Nodes, (*Node).clone)
	c.Inputs = cloneAll(g.Inputs, (*ValueInfo).clone)
	c.Outputs = cloneAll(g.Outputs, (*ValueInfo).clone)
	c.ValueInfos = cloneAll(g.ValueInfos, (*ValueInfo).clone)
	c.Initializers = slices.Clone(g.Initializers)
	c.SparseInitializers = slices.Clone(g.SparseInitializers)
	c.Metadata = slices.Clone(g.Metadata)
	return &c
}

func (f *Function) clone() *Function {
	c := *f
	c.Inputs, c.Outputs = slices.Clone(f.Inputs), slices.Clone(f.Outputs)
	c.Attributes = slices.Clone(f.Attributes)
	c.Defaults = cloneAll(f.Defaults, (*Attribute).clone)
	c.Nodes = cloneAll(f.Nodes, (*Node).clone)
	c.Opsets = slices.Clone(f.Opsets)
	c.ValueInfos = cloneAll(f.ValueInfos, (*ValueInfo).clone)
	c.Metadata = slices.Clone(f.Metadata)
	return &c
}

func (n *Node) clone() *Node {
	c := *n
	c.Inputs, c.Outputs = slices.Clone(n.Inputs), slices.Clone(n.Outputs)
	c.Attributes = cloneAll(n.Attributes, (*Attribute).clone)
	c.Metadata = slices.Clone(n.Metadata)
	return &c
}

func (a *Attribute) clone() *Attribute {
	c := *a
	c.S, c.Floats, c.Ints = slices.Clone(a.S), slices.Clone(a.Floats), slices.Clone(a.Ints)
	c.Strings = slices.Clone(a.Strings)
	for i := range c.Strings {
		c.Strings[i] = slices.Clone(c.Strings[i])
	}
	c.G = a.G.clone()
	c.Graphs = cloneAll(a.Graphs, (*Graph).clone)
	c.Tensors, c.Sparses = slices.Clone(a.Tensors), slices.Clone(a.Sparses)
	return &c
}

func (v *ValueInfo) clone() *ValueInfo {
	c := *v
	c.Type.Shape = slices.Clone(v.Type.Shape)
	c.Metadata = slices.Clone(v.Metadata)
	return &c
}
