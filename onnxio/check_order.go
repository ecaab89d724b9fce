package onnxio

import "slices"

// loops is what cycles finds: for each node the cycle it is in, and for the
// first node of each cycle all of its nodes.
type loops struct {
	component []int         // of a node: nodes of one number reach each other
	first     map[int][]int // nodes of a cycle, in order, by the first of them
}

func (l *loops) together(i, j int) bool { return l.component[i] == l.component[j] }

// cycles finds the strongly connected components of more than one node, or of
// one that needs its own output (Tarjan 1972, with a stack of its own instead of
// recursion: a model may be a chain of any length). maker maps a value to the
// node that makes it.
func cycles(nodes []*Node, maker map[string]int) *loops {
	t := &tarjan{
		nodes: nodes, maker: maker,
		index: make([]int, len(nodes)), low: make([]int, len(nodes)), on: make([]bool, len(nodes)),
		loops: loops{make([]int, len(nodes)), make(map[int][]int)},
	}
	for i := range nodes {
		if t.index[i] == 0 {
			t.visit(i)
		}
	}
	return &t.loops
}

type tarjan struct {
	nodes      []*Node
	maker      map[string]int
	index, low []int // index 0: not visited
	on         []bool
	stack      []int
	visited    int
	components int
	loops
}

type frame struct{ node, input int }

func (t *tarjan) visit(root int) {
	t.enter(root)
	for path := []frame{{root, 0}}; len(path) > 0; {
		f := &path[len(path)-1]
		if f.input < len(t.nodes[f.node].Inputs) {
			name := t.nodes[f.node].Inputs[f.input]
			f.input++
			j, made := t.maker[name]
			switch {
			case !made || name == "":
			case t.index[j] == 0:
				t.enter(j)
				path = append(path, frame{j, 0})
			case t.on[j]:
				t.low[f.node] = min(t.low[f.node], t.index[j])
			}
			continue
		}
		i := f.node
		path = path[:len(path)-1]
		if len(path) > 0 {
			up := path[len(path)-1].node
			t.low[up] = min(t.low[up], t.low[i])
		}
		if t.low[i] == t.index[i] {
			t.leave(i)
		}
	}
}

func (t *tarjan) enter(i int) {
	t.visited++
	t.index[i], t.low[i], t.on[i] = t.visited, t.visited, true
	t.stack = append(t.stack, i)
}

// leave takes the component whose root is i off the stack.
func (t *tarjan) leave(i int) {
	t.components++
	k := len(t.stack) - 1
	for t.stack[k] != i {
		k--
	}
	members := slices.Sorted(slices.Values(t.stack[k:]))
	t.stack = t.stack[:k]
	for _, j := range members {
		t.on[j] = false
		t.component[j] = t.components
	}
	if len(members) > 1 || t.needsItself(i) {
		t.first[members[0]] = members
	}
}

func (t *tarjan) needsItself(i int) bool {
	for _, name := range t.nodes[i].Inputs {
		if j, made := t.maker[name]; made && j == i && name != "" {
			return true
		}
	}
	return false
}
