package engine

import (
	"efcn/onnxio"
)

// sweep drops nodes and initializers that no graph output depends on: those that
// only fed folded nodes, and any that were dead before.
func (f *folder) sweep() {
	g := f.graph
	used := map[string]bool{}
	for _, o := range g.Outputs {
		used[o.Name] = true
	}
	kept := make([]*onnxio.Node, 0, len(g.Nodes))
	for i := len(g.Nodes) - 1; i >= 0; i-- {
		n := g.Nodes[i]
		needed := false
		for _, o := range n.Outputs {
			needed = needed || used[o]
		}
		if !needed {
			continue
		}
		kept = append(kept, n)
		readNames(n, func(name string) { used[name] = true })
	}
	for i, j := 0, len(kept)-1; i < j; i, j = i+1, j-1 {
		kept[i], kept[j] = kept[j], kept[i]
	}
	g.Nodes = kept
	for _, in := range g.Inputs {
		used[in.Name] = true // the default of an input stays
	}
	initializers := g.Initializers[:0:0]
	for _, t := range g.Initializers {
		if used[t.Name] {
			initializers = append(initializers, t)
		}
	}
	g.Initializers = initializers
	sparse := g.SparseInitializers[:0:0]
	for _, t := range g.SparseInitializers {
		if used[t.Values.Name] {
			sparse = append(sparse, t)
		}
	}
	g.SparseInitializers = sparse
}

// readNames calls use with every name that n or a graph inside it reads. A name
// that a subgraph defines itself is among them; that does no harm.
func readNames(n *onnxio.Node, use func(string)) {
	for _, name := range n.Inputs {
		use(name)
	}
	for _, a := range n.Attributes {
		graphs := a.Graphs
		if a.G != nil {
			graphs = append([]*onnxio.Graph{a.G}, graphs...)
		}
		for _, g := range graphs {
			for _, o := range g.Outputs {
				use(o.Name)
			}
			for _, inner := range g.Nodes {
				readNames(inner, use)
			}
		}
	}
}
