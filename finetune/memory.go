package finetune

import (
	"slices"

	"gorgonia.org/gorgonia"

	"efcn/finetune/internal/memplan"
	"efcn/internal/kernel"
)

// buffer is where a value of a step lies.
type buffer[T kernel.Float] struct {
	size int
	data []T // from the time that the memory of the network is planned
}

func newBuffer[T kernel.Float](size int) *buffer[T] { return &buffer[T]{size: size} }

// program is a training graph as the planner of its memory sees it: the ops in the
// order in which the machine runs them, with what they read and write.
type program[T kernel.Float] struct {
	memplan.Program
	ops     []*op[T]
	works   []work[T]    // by operation
	buffers []*buffer[T] // by value
	values  map[*buffer[T]]memplan.Value
	// at has the buffer of each node. Nodes that are not in it are parameters: they
	// have memory of their own.
	at map[*gorgonia.Node]*buffer[T]
}

// work is what an operation of a program is: an op, or a sum of values, which the first
// of them holds in the end.
type work[T kernel.Float] struct {
	op  *op[T]
	sum []*buffer[T]
}

// program lists what the graph does. Everything but the parameters is placed by
// the plan.
func (a *assembler[T]) program(logits *gorgonia.Node) (*program[T], error) {
	nodes, err := gorgonia.Sort(a.graph) // as the machine does when it compiles the graph
	if err != nil {
		return nil, err
	}
	p := &program[T]{values: map[*buffer[T]]memplan.Value{}, at: map[*gorgonia.Node]*buffer[T]{a.x: a.samples}}
	for _, n := range slices.Backward(nodes) {
		switch o := n.Op().(type) {
		case nil: // the samples, or a parameter
		case *op[T]:
			p.add(o)
			p.at[n] = o.result
		default:
			p.sum(n)
		}
	}
	// The samples stay, so that the step can be taken again.
	p.Outputs = append(p.Outputs, p.value(a.samples))
	if a.form.evaluates {
		p.Outputs = append(p.Outputs, p.value(p.at[logits]))
	}
	for _, g := range a.net.reads {
		if b := p.at[g.node]; b != nil {
			p.Outputs = append(p.Outputs, p.value(b))
		}
	}
	return p, nil
}

// value returns the number of what lies in a buffer.
func (p *program[T]) value(b *buffer[T]) memplan.Value {
	v, ok := p.values[b]
	if !ok {
		v = p.NewValue(b.size)
		p.values[b], p.buffers = v, append(p.buffers, b)
	}
	return v
}

func (p *program[T]) add(o *op[T]) {
	var step memplan.Operation
	for i, n := range o.operands {
		if b := p.at[n]; b != nil && o.reads[i] {
			step.Reads = append(step.Reads, p.value(b))
		}
	}
	for _, b := range o.further {
		step.Reads = append(step.Reads, p.value(b))
	}
	for _, b := range o.writes {
		step.Writes = append(step.Writes, p.value(b))
	}
	if o.inPlace >= 0 && len(o.writes) > 0 {
		if b := p.at[o.operands[o.inPlace]]; b != nil {
			step.InPlace = []memplan.Pair{{Result: p.value(o.writes[0]), Operand: p.value(b)}}
		}
	}
	p.ops, p.works, p.Operations = append(p.ops, o), append(p.works, work[T]{op: o}), append(p.Operations, step)
	o.turn = len(p.Operations)
}

// sum adds a node that is not ours: gorgonia adds up the gradients of a value that
// several layers read. It does so in the memory of the first, which has no other
// reader, so that from there on it holds the sum.
func (p *program[T]) sum(n *gorgonia.Node) {
	var step memplan.Operation
	var all []*buffer[T]
	operands := n.Graph().From(n.ID())
	for first := true; operands.Next(); first = false {
		b := p.at[operands.Node().(*gorgonia.Node)]
		if b == nil {
			continue
		}
		step.Reads, all = append(step.Reads, p.value(b)), append(all, b)
		if first {
			p.at[n] = b
		}
	}
	p.works, p.Operations = append(p.works, work[T]{sum: all}), append(p.Operations, step)
}

// place gives every value its memory: that of the plan, in the given pieces as far
// as they do.
func (p *program[T]) place(plan *memplan.Plan, given [][]T) (memory [][]T) {
	given = slices.Clone(given)
	for _, size := range plan.Buffers {
		best := -1
		for i, m := range given {
			if len(m) >= size && (best < 0 || len(m) < len(given[best])) {
				best = i
			}
		}
		if best < 0 {
			memory = append(memory, make([]T, size))
			continue
		}
		memory, given = append(memory, given[best][:size:size]), slices.Delete(given, best, best+1)
	}
	for v, b := range p.buffers {
		b.data = []T{}
		if at := plan.Places[v]; at.Buffer >= 0 {
			b.data = memory[at.Buffer][at.Offset : at.Offset+b.size : at.Offset+b.size]
		}
	}
	for _, o := range p.ops {
		o.value = matrix(o.rows, o.cols, o.result.data)
	}
	return memory
}
