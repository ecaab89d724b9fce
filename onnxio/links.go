package onnxio

import (
	"iter"
	"slices"
)

// Links tells which node makes each value of a graph, and which nodes read it.
// A node reads its inputs and what the graphs in its attributes read; values made
// inside those graphs have no links of their own. Links do not follow a change
// of the graph: make them again.
type Links struct {
	producers map[string]*Node
	readers   map[string][]*Node
	uses      map[string]int
	outputs   map[string]bool
}

// Links returns the links of g.
func (g *Graph) Links() *Links {
	outputs := make([]string, len(g.Outputs))
	for i, o := range g.Outputs {
		outputs[i] = o.Name
	}
	return NewLinks(g.Nodes, outputs...)
}

// NewLinks returns the links of some nodes, in their order. outputs are the values
// that are read from elsewhere, as the outputs of a graph are.
func NewLinks(nodes []*Node, outputs ...string) *Links {
	l := &Links{
		producers: make(map[string]*Node, len(nodes)),
		readers:   make(map[string][]*Node, len(nodes)),
		uses:      make(map[string]int, len(nodes)),
		outputs:   make(map[string]bool, len(outputs)),
	}
	for _, n := range nodes {
		for _, name := range n.Outputs {
			if name != "" {
				l.producers[name] = n
			}
		}
		for name := range n.Reads() {
			// The node was appended last if it reads the value twice.
			if list := l.readers[name]; len(list) == 0 || list[len(list)-1] != n {
				l.readers[name] = append(list, n)
			}
			l.uses[name]++
		}
	}
	for _, name := range outputs {
		l.outputs[name] = true
		l.uses[name]++
	}
	return l
}

// Producer returns the node that makes a value, or nil: inputs and initializers
// have none.
func (l *Links) Producer(name string) *Node { return l.producers[name] }

// Readers returns the nodes that read a value, each once, in the order of the
// graph. The list must not be modified.
func (l *Links) Readers(name string) []*Node { return l.readers[name] }

// SoleReader returns the node that reads a value, or nil if another node reads it
// too, or nothing does, or it is an output.
func (l *Links) SoleReader(name string) *Node {
	if list := l.readers[name]; len(list) == 1 && !l.outputs[name] {
		return list[0]
	}
	return nil
}

// IsOutput reports whether a value is an output of the graph.
func (l *Links) IsOutput(name string) bool { return l.outputs[name] }

// Uses returns how many times a value is read: by a node once for each of its
// inputs, and once as an output of the graph.
func (l *Links) Uses(name string) int { return l.uses[name] }

// Reads yields the names of the values that n needs: its inputs that are there,
// then what the graphs in its attributes read, among which are values that those
// graphs make themselves.
func (n *Node) Reads() iter.Seq[string] {
	return func(yield func(string) bool) { n.yieldReads(yield) }
}

func (n *Node) yieldReads(yield func(string) bool) bool {
	for _, name := range n.Inputs {
		if name != "" && !yield(name) {
			return false
		}
	}
	for _, a := range n.Attributes {
		for _, g := range append(some(a.G), a.Graphs...) {
			for _, inner := range g.Nodes {
				if !inner.yieldReads(yield) {
					return false
				}
			}
			for _, o := range g.Outputs {
				if !yield(o.Name) {
					return false
				}
			}
		}
	}
	return true
}

// Ancestors returns the nodes that values depend on, those that make the values
// among them, in the order of the graph.
func (g *Graph) Ancestors(values ...string) []*Node {
	needed := make(map[string]bool, len(values))
	for _, name := range values {
		needed[name] = name != ""
	}
	var nodes []*Node
	for _, n := range slices.Backward(g.Nodes) {
		if !slices.ContainsFunc(n.Outputs, func(name string) bool { return needed[name] }) {
			continue
		}
		for name := range n.Reads() {
			needed[name] = true
		}
		nodes = append(nodes, n)
	}
	slices.Reverse(nodes)
	return nodes
}

// Prune removes from g what none of its outputs depends on: nodes, what is
// declared of the values that those make, and initializers. The inputs of g stay,
// and so do the initializers that are their defaults.
func (g *Graph) Prune() {
	outputs := make([]string, len(g.Outputs))
	needed := make(map[string]bool)
	for i, o := range g.Outputs {
		outputs[i], needed[o.Name] = o.Name, true
	}
	for _, v := range g.Inputs {
		needed[v.Name] = true
	}
	kept := g.Ancestors(outputs...)
	made := make(map[string]bool)
	for _, n := range kept {
		for name := range n.Reads() {
			needed[name] = true
		}
		for _, name := range n.Outputs {
			made[name] = true
		}
	}
	gone := make(map[string]bool)
	for _, n := range g.Nodes {
		for _, name := range n.Outputs {
			gone[name] = !made[name]
		}
	}
	g.Nodes = kept
	// Into new lists: a copy of the graph may share the old ones.
	g.ValueInfos = without(g.ValueInfos, func(v *ValueInfo) bool { return gone[v.Name] })
	g.Initializers = without(g.Initializers, func(t *Tensor) bool { return !needed[t.Name] })
	g.SparseInitializers = without(g.SparseInitializers, func(s *SparseTensor) bool { return !needed[s.Values.Name] })
}

// without returns a new list without some of the items.
func without[T any](list []T, drop func(T) bool) []T {
	return slices.DeleteFunc(slices.Clone(list), drop)
}
