package engine

import (
	"efcn/onnxio"
)

// branch returns the nodes that stand for an If whose condition is constant, nil
// if it is not. The branch's own values are called "label/name"; an Identity
// gives each output of the If its name.
func (f *folder) branch(n *onnxio.Node) ([]*onnxio.Node, error) {
	t, ok := f.tensors[n.Input(0)]
	if !ok || t.Type != onnxio.Bool {
		return nil, nil
	}
	cond, err := onnxio.Ints(t)
	if err != nil {
		return nil, n.Errorf("condition: %w", err)
	}
	if len(cond) != 1 {
		return nil, n.Errorf("the condition has shape %v; want a scalar", t.Dims)
	}
	name := "else_branch"
	if cond[0] != 0 {
		name = "then_branch"
	}
	a := n.Attr(name)
	if a == nil || a.G == nil || len(a.G.Outputs) != len(n.Outputs) || len(a.G.Inputs) > 0 || len(a.G.SparseInitializers) > 0 {
		return nil, nil // New says what is wrong
	}
	g := a.G
	c := copier{names: map[string]string{}}
	local := func(name string) {
		if name != "" {
			c.names[name] = f.fresh(n.Label() + "/" + name)
		}
	}
	for _, t := range g.Initializers {
		local(t.Name)
	}
	for _, inner := range g.Nodes {
		for _, o := range inner.Outputs {
			local(o)
		}
	}
	for _, t := range g.Initializers {
		renamed := *t
		renamed.Name = c.name(t.Name)
		f.tensors[renamed.Name] = &renamed
		f.graph.Initializers = append(f.graph.Initializers, &renamed)
	}
	nodes := make([]*onnxio.Node, 0, len(g.Nodes)+len(n.Outputs))
	for _, inner := range g.Nodes {
		nodes = append(nodes, c.node(inner))
	}
	for i, o := range g.Outputs {
		if n.Outputs[i] != "" {
			nodes = append(nodes, &onnxio.Node{
				Name: n.Label() + "/" + o.Name + "/output", OpType: "Identity",
				Inputs: []string{c.name(o.Name)}, Outputs: []string{n.Outputs[i]},
			})
		}
	}
	return nodes, nil
}

// fresh returns a name that no value of the graph has.
func (f *folder) fresh(name string) string {
	if f.names.taken == nil {
		f.names.taken = map[string]bool{}
		f.names.takeNames(f.graph)
		for _, n := range f.rest {
			for _, o := range n.Outputs {
				f.names.taken[o] = true
			}
		}
	}
	return f.names.fresh(name)
}
