package convert

import (
	"slices"

	"efcn/convert/affine"
	"efcn/convert/record"
	"efcn/onnxio"
)

// piece is a part of an eFCN as data: what one node of the CNN becomes, or one of the
// parts that it becomes. A plan is a list of them, in the order of the graph. Folding
// and the choice of layouts rewrite that list; the builder makes nodes of it.
type piece struct {
	node   *onnxio.Node // of the CNN, or one in its place
	reads  []string     // values of the CNN; one where the piece is linear
	writes []string
	form   form
	layer  *Layer  // its matrix, nil if it has none
	linear *linear // nil if it is no affine function of the value that it reads
	order  int     // of the node in the CNN
}

// form is what a piece is made of in the eFCN.
type form interface {
	// build puts the nodes of the piece into the eFCN.
	build(b *builder, p *piece)
	// weigh counts the constants that build adds.
	weigh(s *sizes, p *piece)
}

// linear is what folding needs to know of an affine function of one value.
type linear struct {
	factors []affine.Factor // in the order in which they are applied; none where the vector is the same
	sources []record.Factor // the operators that the factors are, one or two factors each
	params  int             // weights and biases that it has in the CNN
	refuse  error           // why it cannot be on its own as it was asked to be
}

// linearOf returns what one factor of n makes of output, with params parameters.
func linearOf(n *onnxio.Node, output string, params int, factors ...affine.Factor) *linear {
	source := record.Factor{Op: n.OpType, Node: n.Label(), Output: output}
	return &linear{factors: factors, params: params, sources: []record.Factor{source}}
}

// onVectors returns the piece of a node that stays itself, on vectors.
func onVectors(n *onnxio.Node, laidOut map[int]*onnxio.Tensor) *piece {
	return &piece{node: n, reads: n.Inputs, writes: n.Outputs, form: vectors{laidOut}}
}

// along makes the piece an affine function of one of its inputs.
func (p *piece) along(input string, l *linear) *piece {
	p.reads, p.linear = []string{input}, l
	return p
}

// live returns the pieces that an output of the graph depends on. The nodes that
// compute the shape for a Reshape are none of them, above all.
func live(pieces []*piece, links *onnxio.Links) []*piece {
	needed := make(map[string]bool)
	var kept []*piece
	for _, p := range slices.Backward(pieces) {
		if !slices.ContainsFunc(p.writes, func(name string) bool { return needed[name] || links.IsOutput(name) }) {
			continue
		}
		for _, name := range p.reads {
			needed[name] = true
		}
		kept = append(kept, p)
	}
	slices.Reverse(kept)
	return kept
}

// kept is a node that stays on tensors, as the CNN had it.
type kept struct {
	why        string
	attributes []*onnxio.Attribute // its own, or what says the same to more runtimes
}

// of returns what the plan says of the node.
func (f kept) of(p *piece) Kept {
	return Kept{Node: p.node.Label(), Op: p.node.QualifiedOp(), Why: f.why}
}

func (f kept) build(b *builder, p *piece) {
	inputs := make([]string, len(p.node.Inputs))
	for i, name := range p.node.Inputs {
		inputs[i] = b.nd(name)
	}
	for _, name := range p.node.Outputs {
		if name == "" {
			continue
		}
		t := b.shapeOf(name)
		b.values[name] = &forms{nd: name}
		if len(t.Shape) == 2 {
			b.values[name].vec = name
		}
		b.Declare(name, t)
	}
	own := on(p.node, inputs, slices.Clone(p.node.Outputs))
	own.Attributes = f.attributes
	b.Node(own)
}

func (f kept) weigh(s *sizes, p *piece) {
	for _, name := range p.node.Inputs {
		s.nd(name)
	}
	for _, a := range p.node.Attributes {
		if a.Sparse != nil {
			s.sparse(a.Sparse)
		}
	}
}

// view is another shape of the same vector.
type view struct{}

func (view) build(b *builder, p *piece) { b.alias(p.reads[0], p.writes[0]) }

func (view) weigh(s *sizes, p *piece) { s.vec(p.writes[0]) }

// vectors is a node that does on vectors what it does on tensors. Inputs that are
// constants are the CNN's own, or the tensor laid out along the vector.
type vectors struct{ laidOut map[int]*onnxio.Tensor }

func (f vectors) build(b *builder, p *piece) {
	inputs := make([]string, len(p.node.Inputs))
	for i, name := range p.node.Inputs {
		switch t := f.laidOut[i]; {
		case t != nil:
			fresh := *t
			inputs[i] = b.Tensor(&fresh)
		case b.values[name] != nil:
			inputs[i] = b.vec(name)
		default:
			inputs[i] = b.constant(name)
		}
	}
	b.Node(on(p.node, inputs, []string{b.newVec(p.writes[0])}))
}

func (f vectors) weigh(s *sizes, p *piece) {
	for i, name := range p.node.Inputs {
		if t := f.laidOut[i]; t != nil {
			s.other += t.Data.Len()
		} else {
			s.constant(name)
		}
	}
	s.vec(p.writes[0])
}
