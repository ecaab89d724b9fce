package engine

import (
	"context"
	"errors"
	"fmt"

	"efcn/internal/kernel"
	"efcn/onnxio"
)

// keptBytes is how much converted weight data an engine keeps between runs.
const keptBytes = 4 << 30

// program is a graph whose values have been numbered and whose nodes are ready
// to compute.
type program[T kernel.Float] struct {
	inputs    []string // fed by name, first in the numbering
	captured  []string // taken from the enclosing graph, next in the numbering
	constants []*constant[T]
	consts    []int // value number of each constant
	steps     []*step[T]
	names     []string // by value number
	outputs   []string
	outs      []int
}

// step is one node of a program.
type step[T kernel.Float] struct {
	node    *onnxio.Node
	op      *operator
	compute compute[T]
	in      []int // value numbers, -1 for an input left out
	out     []int
	// captured names values of the enclosing graph that the node's subgraphs use;
	// they follow the inputs.
	captured []string
	free     []int // values that no later step and no output needs
}

// exec is one run: what a computing node may ask for.
type exec[T kernel.Float] struct {
	ctx      context.Context
	elements int
	see      func(name string, v *Tensor[T]) error
}

// scope resolves names of an enclosing graph for a subgraph.
type scope func(name string) bool

// compile numbers the values of g and prepares its nodes. outer says which names
// the enclosing graphs define; nil for the main graph.
func compile[T kernel.Float](g *onnxio.Graph, versions map[string]int64, outer scope) (*program[T], error) {
	p := &program[T]{}
	number := make(map[string]int)
	define := func(name string) int {
		number[name] = len(p.names)
		p.names = append(p.names, name)
		return number[name]
	}
	for _, v := range g.Inputs {
		p.inputs = append(p.inputs, v.Name)
		define(v.Name)
	}
	if err := p.addConstants(g, number, define); err != nil {
		return nil, err
	}
	var errs []error
	resolve := func(name string) (int, bool) {
		if name == "" {
			return -1, true
		}
		if i, ok := number[name]; ok {
			return i, true
		}
		if outer != nil && outer(name) {
			p.captured = append(p.captured, name)
			return define(name), true
		}
		return -1, false
	}
	visible := func(name string) bool {
		_, ok := number[name]
		return ok || (outer != nil && outer(name))
	}
	for _, n := range g.Nodes {
		s, err := prepareIn[T](n, versions, visible)
		if err != nil {
			errs = append(errs, err)
			s = &step[T]{node: n}
		}
		for _, name := range s.reads() {
			i, ok := resolve(name)
			if !ok && err == nil {
				errs = append(errs, n.Errorf("input %q: nothing before this node computes it", name))
			}
			s.in = append(s.in, i)
		}
		if s.op != nil {
			for len(s.in) < s.op.slots() {
				s.in = append(s.in, -1)
			}
		}
		for _, name := range n.Outputs {
			if name == "" {
				s.out = append(s.out, -1)
				continue
			}
			if _, ok := number[name]; ok {
				errs = append(errs, n.Errorf("output %q is already the name of another value", name))
			}
			s.out = append(s.out, define(name))
		}
		p.steps = append(p.steps, s)
	}
	for _, o := range g.Outputs {
		i, ok := resolve(o.Name)
		if !ok || i < 0 {
			errs = append(errs, fmt.Errorf("graph output %q: no node computes it", o.Name))
		}
		p.outputs = append(p.outputs, o.Name)
		p.outs = append(p.outs, i)
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	p.planRelease()
	return p, nil
}

// addConstants numbers the initializers. A name that is also an input keeps its
// number there, and the initializer is its default.
func (p *program[T]) addConstants(g *onnxio.Graph, number map[string]int, define func(string) int) error {
	kept := int64(0)
	add := func(name string, bytes int64, load func() (*Tensor[T], error)) {
		i, ok := number[name]
		if !ok {
			i = define(name)
		}
		kept += bytes
		p.constants = append(p.constants, &constant[T]{name: name, load: load, keep: kept <= keptBytes})
		p.consts = append(p.consts, i)
	}
	for _, t := range g.Initializers {
		n, err := onnxio.NumElements(t.Dims)
		if err != nil {
			return fmt.Errorf("initializer %q: %w", t.Name, err)
		}
		add(t.Name, 8*min(n, maxElements), func() (*Tensor[T], error) { return FromONNX[T](t) })
	}
	for _, s := range g.SparseInitializers {
		n, err := onnxio.NumElements(s.Dims)
		if err != nil {
			return fmt.Errorf("sparse initializer %q: %w", s.Values.Name, err)
		}
		add(s.Values.Name, 8*min(n, maxElements), func() (*Tensor[T], error) { return fromSparse[T](s) })
	}
	return nil
}

// planRelease notes after which step each value is used for the last time.
func (p *program[T]) planRelease() {
	needed := make([]bool, len(p.names))
	for _, i := range p.outs {
		needed[i] = true
	}
	for k := len(p.steps) - 1; k >= 0; k-- {
		s := p.steps[k]
		for _, list := range [][]int{s.in, s.out} {
			for _, i := range list {
				if i >= 0 && !needed[i] {
					needed[i] = true
					s.free = append(s.free, i)
				}
			}
		}
	}
}

// run computes the outputs. lookup gives the values of inputs and captured names;
// nil lets an initializer of the same name stand.
func (p *program[T]) run(x *exec[T], lookup func(name string) *Tensor[T]) ([]*Tensor[T], error) {
	values := make([]*Tensor[T], len(p.names))
	pending := make(map[int]*constant[T], len(p.constants))
	for k, c := range p.constants {
		pending[p.consts[k]] = c
	}
	for i, name := range p.names {
		if i < len(p.inputs) {
			values[i] = lookup(name)
		}
	}
	value := func(i int) (*Tensor[T], error) {
		if values[i] != nil {
			return values[i], nil
		}
		if c := pending[i]; c != nil {
			v, err := c.get()
			values[i] = v
			return v, err
		}
		if v := lookup(p.names[i]); v != nil { // captured from the enclosing graph
			values[i] = v
			return v, nil
		}
		return nil, fmt.Errorf("value %q is missing", p.names[i])
	}
	for _, s := range p.steps {
		if err := x.ctx.Err(); err != nil {
			return nil, err
		}
		in := make([]*Tensor[T], len(s.in))
		for k, i := range s.in {
			if i < 0 {
				continue
			}
			v, err := value(i)
			if err != nil {
				return nil, s.node.Wrap(err)
			}
			in[k] = v
		}
		out, err := s.run(x, in)
		if err != nil {
			return nil, err
		}
		for k, i := range s.out {
			if i < 0 {
				continue
			}
			values[i] = out[k]
			if x.see != nil {
				if err := x.see(p.names[i], out[k]); err != nil {
					return nil, err
				}
			}
		}
		for _, i := range s.free {
			values[i] = nil
		}
	}
	result := make([]*Tensor[T], len(p.outs))
	for k, i := range p.outs {
		v, err := value(i)
		if err != nil {
			return nil, fmt.Errorf("graph output %q: %w", p.outputs[k], err)
		}
		result[k] = v
	}
	return result, nil
}
