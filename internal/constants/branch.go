package constants

import (
	"slices"

	"efcn/onnxio"
	"efcn/onnxio/shape"
)

// settle gives every If whose condition follows from shapes a constant one, and
// reports whether there was any. PyTorch's squeeze of an axis of open length is such
// an If.
func (f *folder) settle(m *onnxio.Model, inputs map[string][]int64) bool {
	open := func(n *onnxio.Node) bool {
		return n.OpType == "If" && onnxio.CanonicalDomain(n.Domain) == "" && f.tensors[n.Input(0)] == nil
	}
	if !slices.ContainsFunc(f.graph.Nodes, open) {
		return false
	}
	info, err := shape.Infer(m, shape.Options{Inputs: inputs, Evaluate: Evaluate})
	if err != nil {
		return false // whoever needs the shapes says so
	}
	found := false
	for i, n := range f.graph.Nodes {
		known, ok := info.Ints(n.Input(0))
		if t, _ := info.Type(n.Input(0)); !open(n) || !ok || len(known) != 1 || known[0].Param != "" ||
			t.Elem != onnxio.Bool {
			continue
		}
		condition := onnxio.NewTensor(f.names.Free(n.Label()+"/condition"), nil, []bool{known[0].Value != 0})
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
	if a == nil || a.G == nil || len(a.G.Outputs) != len(n.Outputs) || len(a.G.Inputs) > 0 ||
		len(a.G.SparseInitializers) > 0 {
		return nil, nil // whoever runs the model says what is wrong
	}
	g := a.G
	names := make(map[string]string)
	local := func(name string) {
		if name != "" {
			names[name] = f.names.Free(n.Label() + "/" + name)
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
		t := *t
		t.Name = names[t.Name]
		f.tensors[t.Name] = &t
		f.graph.Initializers = append(f.graph.Initializers, &t)
	}
	nodes := make([]*onnxio.Node, 0, len(g.Nodes)+len(n.Outputs))
	for _, inner := range g.Nodes {
		nodes = append(nodes, inner.Renamed(names))
	}
	for i, o := range g.Outputs {
		from, own := names[o.Name]
		if !own {
			from = o.Name
		}
		if n.Outputs[i] != "" {
			nodes = append(nodes, &onnxio.Node{
				Name: n.Label() + "/" + o.Name + "/output", OpType: "Identity",
				Inputs: []string{from}, Outputs: []string{n.Outputs[i]},
			})
		}
	}
	return nodes, nil
}
