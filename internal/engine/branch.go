package engine

import (
	"slices"

	"efcn/onnxio"
	"efcn/onnxio/shape"
)

// settle gives every If whose condition follows from shapes a constant one, and
// says whether there was any. PyTorch's squeeze of an axis of open length is such
// an If.
func (f *folder) settle(m *onnxio.Model, inputs map[string][]int64) bool {
	open := func(n *onnxio.Node) bool {
		return n.OpType == "If" && onnxio.CanonicalDomain(n.Domain) == "" && f.tensors[n.Input(0)] == nil
	}
	if !slices.ContainsFunc(f.graph.Nodes, open) {
		return false
	}
	info, err := shape.Infer(m, inputs)
	if err != nil {
		return false // whoever needs the shapes says so
	}
	found := false
	for i, n := range f.graph.Nodes {
		known, ok := info.Ints(n.Input(0))
		if t, _ := info.Type(n.Input(0)); !open(n) || !ok || len(known) != 1 || known[0].Param != "" || t.Elem != onnxio.Bool {
			continue
		}
		condition := onnxio.NewTensor(f.fresh(n.Label()+"/condition"), nil, []bool{known[0].Value != 0})
		f.tensors[condition.Name] = condition
		f.graph.Initializers = append(f.graph.Initializers, condition)
		settled := *n
		settled.Inputs = []string{condition.Name}
		f.graph.Nodes[i] = &settled
		found = true
	}
	return found
}

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
