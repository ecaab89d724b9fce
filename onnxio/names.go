package onnxio

import "fmt"

// Names hands out names that nothing has yet. The zero value has none taken.
type Names struct{ taken map[string]bool }

// Names returns the names of the values of g, and of the graphs in its nodes, as
// taken.
func (g *Graph) Names() *Names {
	names := new(Names)
	names.takeValues(g)
	w := walker{
		graph: names.takeValues,
		node:  func(n *Node) { names.Take(n.Outputs...) },
	}
	w.nodes(g.Nodes)
	return names
}

func (n *Names) takeValues(g *Graph) {
	for _, v := range g.Inputs {
		n.Take(v.Name)
	}
	for _, v := range g.Outputs {
		n.Take(v.Name)
	}
	for _, t := range g.Initializers {
		n.Take(t.Name)
	}
	for _, s := range g.SparseInitializers {
		n.Take(s.Values.Name)
	}
}

// Take marks names as taken.
func (n *Names) Take(names ...string) {
	if n.taken == nil {
		n.taken = make(map[string]bool)
	}
	for _, name := range names {
		n.taken[name] = true
	}
}

// Free returns name or, if that is taken, name_2, name_3 and so on, and takes what
// it returns.
func (n *Names) Free(name string) string {
	free := name
	for i := 2; n.taken[free]; i++ {
		free = fmt.Sprintf("%s_%d", name, i)
	}
	n.Take(free)
	return free
}
