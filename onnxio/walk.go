package onnxio

// graphs calls visit with the graph of m and every graph in an attribute of its
// nodes or of its functions' nodes, at any depth, outer before inner.
func (m *Model) graphs(visit func(*Graph)) {
	m.walk(visit, nil)
}

// tensors calls visit with every dense tensor of m, those in attributes, in
// sparse tensors and in functions too.
func (m *Model) tensors(visit func(*Tensor)) {
	m.walk(nil, visit)
}

func (m *Model) walk(graph func(*Graph), tensor func(*Tensor)) {
	w := walker{graph: graph, tensor: tensor}
	if m.Graph != nil {
		w.visit(m.Graph)
	}
	for _, f := range m.Functions {
		w.attributes(f.Defaults)
		w.nodes(f.Nodes)
	}
}

// walker visits parts of a model; a nil function is not called.
type walker struct {
	node   func(*Node)
	graph  func(*Graph)
	tensor func(*Tensor)
}

func (w walker) visit(g *Graph) {
	if w.graph != nil {
		w.graph(g)
	}
	w.nodes(g.Nodes)
	w.dense(g.Initializers...)
	for _, s := range g.SparseInitializers {
		w.dense(s.Values, s.Indices)
	}
}

func (w walker) nodes(nodes []*Node) {
	for _, n := range nodes {
		if w.node != nil {
			w.node(n)
		}
		w.attributes(n.Attributes)
	}
}

func (w walker) attributes(list []*Attribute) {
	for _, a := range list {
		w.dense(a.T)
		w.dense(a.Tensors...)
		for _, s := range append(some(a.Sparse), a.Sparses...) {
			w.dense(s.Values, s.Indices)
		}
		for _, g := range append(some(a.G), a.Graphs...) {
			w.visit(g)
		}
	}
}

func (w walker) dense(list ...*Tensor) {
	if w.tensor == nil {
		return
	}
	for _, t := range list {
		if t != nil {
			w.tensor(t)
		}
	}
}
