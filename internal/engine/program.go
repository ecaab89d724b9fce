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
	turns     []turn // the order in which steps are done when nobody watches
	locals    []*localStep[T]
}

// step is one node of a program.
type step[T kernel.Float] struct {
	node     *onnxio.Node
	op       *operator
	required int // how many of the inputs must be there
	compute  compute[T]
	in       []int // value numbers, -1 for an input left out
	out      []int
	// captured names values of the enclosing graph that the node's subgraphs use;
	// they follow the inputs.
	captured []string
	free     []int // values that no later step and no output needs
	leads    bool  // compute asks exec.then
	follow   follower[T]
	// What only some operators have, see node.
	eitherLayout bool
	conv         *convNode
	bounds       bounds[T]
	affine       affine[T]
}

// exec is one run: what a computing node may ask for.
type exec[T kernel.Float] struct {
	ctx      context.Context
	elements int
	see      func(name string, v *Tensor[T]) error
	memory   *arena[T]     // nil: none is kept
	packed   bool          // the engine is, and nobody observes the run
	ranks    *gathering[T] // nil: this process alone runs the model
	// resampled, unless nil, is told what a Resize would do, instead of that being
	// done; its error ends the run.
	resampled func(s sampling, shape []int, plan []resample, outside [][]bool) error

	// About the step being done:
	dying     []*Tensor[T] // inputs that nothing needs after it
	followers []pending[T]
	absorbed  int // how many followers it has done along
}

// scope resolves names of an enclosing graph for a subgraph.
type scope func(name string) bool

// compiler makes the program of one graph.
type compiler[T kernel.Float] struct {
	*program[T]
	factors map[string]*factor[T]
	number  map[string]int // of the values, by name
	outer   scope          // names that the enclosing graphs define; nil for the main graph
	errs    []error        // what is wrong with nodes and outputs
}

// compile numbers the values of g and prepares its nodes. outer reports which names
// the enclosing graphs define; nil for the main graph.
func compile[T kernel.Float](g *onnxio.Graph, versions map[string]int64, outer scope) (*program[T], error) {
	factors, err := newFactors[T](g)
	if err != nil {
		return nil, err
	}
	c := &compiler[T]{program: &program[T]{}, factors: factors, number: make(map[string]int), outer: outer}
	for _, v := range g.Inputs {
		c.inputs = append(c.inputs, v.Name)
		c.define(v.Name)
	}
	if err := c.addConstants(g); err != nil {
		return nil, err
	}
	for _, n := range g.Nodes {
		if len(n.Outputs) != 1 || factors[n.Outputs[0]] == nil { // no Constant that the products hold
			c.addStep(n, versions)
		}
	}
	for _, o := range g.Outputs {
		i, ok := c.resolve(o.Name)
		if !ok || i < 0 {
			c.errs = append(c.errs, fmt.Errorf("graph output %q: no node computes it", o.Name))
		}
		c.outputs = append(c.outputs, o.Name)
		c.outs = append(c.outs, i)
	}
	if len(c.errs) > 0 {
		return nil, errors.Join(c.errs...)
	}
	c.planRelease()
	c.planTurns()
	return c.program, nil
}

// define numbers a value.
func (c *compiler[T]) define(name string) int {
	c.number[name] = len(c.names)
	c.names = append(c.names, name)
	return c.number[name]
}

// resolve returns the number of a value that is read, -1 for none, and false if nothing
// defines it. One of an enclosing graph is captured.
func (c *compiler[T]) resolve(name string) (int, bool) {
	if name == "" {
		return -1, true
	}
	if i, ok := c.number[name]; ok {
		return i, true
	}
	if c.outer != nil && c.outer(name) {
		c.captured = append(c.captured, name)
		return c.define(name), true
	}
	return -1, false
}

// visible reports whether a node may read the value of that name.
func (c *compiler[T]) visible(name string) bool {
	_, ok := c.number[name]
	return ok || (c.outer != nil && c.outer(name))
}

// addStep prepares a node and numbers its outputs.
func (c *compiler[T]) addStep(n *onnxio.Node, versions map[string]int64) {
	s, err := prepareWith[T](n, versions, c.visible, c.factors)
	if err != nil {
		c.errs = append(c.errs, err)
		s = &step[T]{node: n}
	}
	for _, name := range s.reads() {
		if c.factors[name] != nil {
			name = ""
		}
		i, ok := c.resolve(name)
		if !ok && err == nil {
			c.errs = append(c.errs, n.Errorf("input %q: nothing before this node computes it", name))
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
		if _, ok := c.number[name]; ok {
			c.errs = append(c.errs, n.Errorf("output %q is already the name of another value", name))
		}
		s.out = append(s.out, c.define(name))
	}
	c.steps = append(c.steps, s)
}

// addConstants numbers the initializers that are no sparse factors. A name that is
// also an input keeps its number there, and the initializer is its default.
func (c *compiler[T]) addConstants(g *onnxio.Graph) error {
	kept := int64(0)
	add := func(name string, bytes int64, load func() (*Tensor[T], error)) {
		i, ok := c.number[name]
		if !ok {
			i = c.define(name)
		}
		kept += bytes
		c.constants = append(c.constants, &constant[T]{name: name, load: load, keep: kept <= keptBytes})
		c.consts = append(c.consts, i)
	}
	for _, t := range g.Initializers {
		n, err := onnxio.NumElements(t.Dims)
		if err != nil {
			return fmt.Errorf("initializer %q: %w", t.Name, err)
		}
		add(t.Name, 8*min(n, maxElements), func() (*Tensor[T], error) { return ViewONNX[T](t) })
	}
	for _, s := range g.SparseInitializers {
		if c.factors[s.Values.Name] != nil {
			continue
		}
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

// frame is the values of one run.
type frame[T kernel.Float] struct {
	*program[T]
	x       *exec[T]
	lookup  func(name string) *Tensor[T]
	values  []*Tensor[T]
	pending map[int]*constant[T]
	own     []bool // by value: computed by a step of this run
}

// run computes the outputs. lookup gives the values of inputs and captured names;
// nil lets an initializer of the same name stand.
func (p *program[T]) run(x *exec[T], lookup func(name string) *Tensor[T]) ([]*Tensor[T], error) {
	f := &frame[T]{
		program: p, x: x, lookup: lookup,
		values:  make([]*Tensor[T], len(p.names)),
		pending: make(map[int]*constant[T], len(p.constants)),
		own:     make([]bool, len(p.names)),
	}
	for k, c := range p.constants {
		f.pending[p.consts[k]] = c
	}
	for i, name := range p.inputs {
		f.values[i] = lookup(name)
	}
	if x.see != nil {
		for k := range p.steps {
			if err := f.do(turn{step: k}); err != nil {
				return nil, err
			}
		}
	} else {
		for _, t := range p.turns {
			if err := f.take(t); err != nil {
				return nil, err
			}
		}
	}
	result := make([]*Tensor[T], len(p.outs))
	for k, i := range p.outs {
		v, err := f.value(i)
		if err == nil && v.last {
			v, err = f.rowMajor(i)
		}
		if err != nil {
			return nil, fmt.Errorf("graph output %q: %w", p.outputs[k], err)
		}
		result[k] = v
	}
	for k, v := range result {
		result[k] = x.memory.part(v)
	}
	x.memory.settle()
	return result, nil
}

// value returns value i, fetching what is not computed.
func (f *frame[T]) value(i int) (*Tensor[T], error) {
	if f.values[i] != nil {
		return f.values[i], nil
	}
	if c := f.pending[i]; c != nil {
		v, err := c.get()
		f.values[i] = v
		return v, err
	}
	if v := f.lookup(f.names[i]); v != nil { // captured from the enclosing graph
		f.values[i] = v
		return v, nil
	}
	return nil, fmt.Errorf("value %q is missing", f.names[i])
}

// inputs returns the inputs of a step, nil for those left out and for value
// except.
func (f *frame[T]) inputs(s *step[T], except int) ([]*Tensor[T], error) {
	in := make([]*Tensor[T], len(s.in))
	for k, i := range s.in {
		if i < 0 || i == except {
			continue
		}
		v, err := f.value(i)
		if err == nil && v.last && !s.eitherLayout {
			v, err = f.rowMajor(i)
		}
		if err != nil {
			return nil, s.node.Wrap(err)
		}
		in[k] = v
	}
	return in, nil
}

// take does a turn.
func (f *frame[T]) take(t turn) error {
	if t.packed != nil {
		if done, err := f.packed(t); done || err != nil {
			return err
		}
	}
	if t.step >= 0 {
		return f.do(t)
	}
	c := f.locals[t.local]
	if done, err := f.local(c); done || err != nil {
		return err
	}
	for _, k := range c.steps {
		if err := f.do(turn{step: k}); err != nil {
			return err
		}
	}
	return nil
}

// do does a step and then its followers, as far as they were not done along.
func (f *frame[T]) do(t turn) error {
	x, s := f.x, f.steps[t.step]
	if err := x.ctx.Err(); err != nil {
		return err
	}
	in, err := f.inputs(s, -1)
	if err != nil {
		return err
	}
	x.followers, x.absorbed = x.followers[:0], 0
	result := s.out
	for _, k := range t.followers {
		next := f.steps[k]
		others, err := f.inputs(next, result[0])
		if err != nil {
			break // it is next's, which will report it
		}
		x.followers = append(x.followers, pending[T]{next.follow, others})
		result = next.out
	}
	x.dying = x.dying[:0]
	for _, i := range s.free {
		if f.own[i] {
			x.dying = append(x.dying, f.values[i])
		}
	}
	out, err := s.run(x, in)
	if err != nil {
		return err
	}
	last := s
	if x.absorbed > 0 {
		last = f.steps[t.followers[x.absorbed-1]]
	}
	if err := f.store(last, out); err != nil {
		return err
	}
	f.release(s)
	done := x.absorbed
	for _, k := range t.followers[:done] {
		f.release(f.steps[k])
	}
	x.memory.settle()
	for _, k := range t.followers[done:] {
		if err := f.do(turn{step: k}); err != nil {
			return err
		}
	}
	return nil
}

// store notes the results of a step.
func (f *frame[T]) store(s *step[T], out []*Tensor[T]) error {
	for k, i := range s.out {
		if i < 0 {
			continue
		}
		f.values[i], f.own[i] = out[k], true
		f.x.memory.hold(out[k])
		if f.x.see != nil {
			if err := f.x.see(f.names[i], out[k]); err != nil {
				return err
			}
		}
	}
	return nil
}

// release forgets the values that nothing needs after s. One that was never
// there lay between s and the step that did it along.
func (f *frame[T]) release(s *step[T]) {
	for _, i := range s.free {
		if f.own[i] {
			f.x.memory.release(f.values[i])
			f.own[i] = false
		}
		f.values[i] = nil
	}
}
