package onnxio

// SparseConstants returns what a graph stores sparse, by name: its sparse
// initializers and what its Constant nodes hold. Subgraphs are left out.
func (g *Graph) SparseConstants() map[string]*SparseTensor {
	found := make(map[string]*SparseTensor)
	for _, s := range g.SparseInitializers {
		found[s.Values.Name] = s
	}
	for _, n := range g.Nodes {
		if a := n.sparseValue(); a != nil {
			found[n.Output(0)] = a.Sparse
		}
	}
	return found
}

// SparseConstant returns a Constant node, of that name, whose output is a sparse
// tensor.
func SparseConstant(name, output string, s *SparseTensor) *Node {
	return &Node{
		Name: name, OpType: "Constant", Outputs: []string{output},
		Attributes: []*Attribute{{Name: "sparse_value", Type: AttrSparseTensor, Sparse: s}},
	}
}

// SetSparseValues puts values, as many elements of the same type, in the place of
// those of the sparse constant of that name, and says whether there is one. In a
// graph that was cloned, that of the original stays.
func (g *Graph) SetSparseValues(name string, values Data) bool {
	with := func(s *SparseTensor) *SparseTensor {
		t, v := *s, *s.Values
		v.Data, t.Values = values, &v
		return &t
	}
	for i, s := range g.SparseInitializers {
		if s.Values.Name == name {
			g.SparseInitializers[i] = with(s)
			return true
		}
	}
	for _, n := range g.Nodes {
		if a := n.sparseValue(); a != nil && n.Output(0) == name {
			a.Sparse = with(a.Sparse)
			return true
		}
	}
	return false
}

// sparseValue returns the attribute in which a Constant holds a sparse tensor, nil
// of other nodes.
func (n *Node) sparseValue() *Attribute {
	if n.OpType != "Constant" || CanonicalDomain(n.Domain) != "" {
		return nil
	}
	a := n.Attr("sparse_value")
	if a == nil || a.Sparse == nil || a.Sparse.Values == nil {
		return nil
	}
	return a
}
