package cut

import (
	"slices"

	"efcn/convert/record"
	"efcn/internal/constants"
	"efcn/onnxio"
	"efcn/onnxio/shape"
)

// planner decides what becomes of each node.
type planner struct {
	Options
	whole     *onnxio.Model
	info      *shape.Info
	links     *onnxio.Links
	constants map[string]*onnxio.Tensor // the initializers
	sparse    map[string]*sparseMatrix
	record    *record.Record
	layers    []*layer                // large ones, in the order of the graph
	byWeight  map[string]*layer       // those, by each of their weights
	chains    map[*onnxio.Node]*chain // nodes of local forms

	// keep is why an initializer has to stay whole. It grows from one attempt to the
	// next.
	keep  map[string]string
	again bool // keep has grown in this attempt

	// Of an attempt:
	steps   map[*onnxio.Node]*step
	cuts    map[string][]int // bounds along axis 1 of the values that are cut
	slices  map[string]Slice
	sliced  map[string]int // how many times a slice is read
	readers map[string]need
}

// step is what becomes of a node that works on a part.
type step struct {
	reads []read // of its inputs; the others are read whole
	// size, unless 0, stands in the place of dimension 1 in the shape of a Reshape, which
	// is input 1.
	size int
	// from are the bounds of what the node reads of input 0, which every rank has
	// whole; nil where it reads all of it.
	from []int
}

// read is how a node reads a value.
type read int

const (
	readWhole   read = iota
	readPartial      // whole, and the gradient there is this rank's part of a sum
	readOwn          // its own slice
)

// need is how a value is read by its readers, besides as their own slices.
type need struct{ whole, partial bool }

func newPlanner(m *onnxio.Model, o Options) (*planner, error) {
	p := &planner{
		Options: o, whole: m, links: m.Graph.Links(),
		constants: map[string]*onnxio.Tensor{}, keep: map[string]string{}, byWeight: map[string]*layer{},
	}
	var err error
	if p.info, err = shape.Infer(m, shape.Options{Evaluate: constants.Evaluate}); err != nil {
		return nil, err
	}
	if p.record, err = record.Read(m); err != nil {
		return nil, err
	}
	for _, t := range m.Graph.Initializers {
		if t.Data != nil {
			p.constants[t.Name] = t
		}
	}
	for _, v := range m.Graph.Inputs {
		if p.constants[v.Name] != nil {
			p.keep[v.Name] = "it is among the inputs of the model, and may be fed"
		}
	}
	p.findSparse()
	p.findChains()
	p.findLayers()
	return p, nil
}

// plan tries until no initializer is needed in two ways. What is kept whole after an
// attempt stays so, so that there are at most as many attempts as initializers.
func (p *planner) plan() {
	for p.again = true; p.again; {
		p.again = false
		p.attempt()
		for name := range p.slices {
			if p.sliced[name] < p.links.Uses(name) {
				p.keepWhole(name, "another node reads all of it")
			}
		}
		for _, l := range p.layers {
			// The record has the bias as part of the layer.
			if r := l.record; l.rows != nil && r != nil && p.constants[r.Bias] != nil && p.slices[r.Bias].Bounds == nil {
				p.keepWhole(l.weights[0], "its bias cannot be cut")
			}
		}
	}
}

// keepWhole has an initializer whole in the next attempt.
func (p *planner) keepWhole(name, why string) {
	if p.keep[name] == "" {
		p.keep[name], p.again = why, true
	}
}

func (p *planner) attempt() {
	p.steps, p.cuts = map[*onnxio.Node]*step{}, map[string][]int{}
	p.slices, p.sliced, p.readers = map[string]Slice{}, map[string]int{}, map[string]need{}
	for _, l := range p.layers {
		l.unrecorded, l.rows, l.groups, l.columns, l.right = "", nil, nil, nil, nil
		l.whole = p.decide(l)
	}
	for _, n := range p.whole.Graph.Nodes {
		s := p.step(n)
		if s == nil {
			s = &step{}
		}
		p.steps[n] = s
		p.noteReads(n, s)
	}
}

// noteReads notes how a node reads its inputs, and what the graphs in it read.
func (p *planner) noteReads(n *onnxio.Node, s *step) {
	i := 0
	for name := range n.Reads() {
		how := p.readers[name]
		for i < len(n.Inputs) && n.Inputs[i] == "" {
			i++
		}
		switch s.of(i) {
		case readWhole:
			how.whole = true
		case readPartial:
			how.partial = true
		}
		p.readers[name] = how
		i++
	}
}

func (s *step) of(i int) read {
	if i < len(s.reads) {
		return s.reads[i]
	}
	return readWhole
}

// step returns what becomes of a node, nil if it stays as it is.
func (p *planner) step(n *onnxio.Node) *step {
	if c := p.chains[n]; c != nil {
		return p.chainStep(c, n)
	}
	if onnxio.CanonicalDomain(n.Domain) != "" {
		return nil
	}
	if l := p.byWeight[n.Input(1)]; isProduct(n) && l != nil && l.bounds(n.Input(1)) != nil {
		return p.productStep(n, l)
	}
	if !slices.ContainsFunc(n.Inputs, func(name string) bool { return p.cuts[name] != nil }) {
		return nil
	}
	if follow := followers[n.OpType]; follow != nil && !slices.ContainsFunc(n.Outputs[1:], isNamed) {
		return follow(p, n)
	}
	return nil
}

// want is a slice that a node needs of a constant.
type want struct {
	name string
	Slice
}

// along is the slice of a constant along one of its dimensions.
func (p *planner) along(t *onnxio.Tensor, dim int, bounds []int) want {
	return want{t.Name, alongDim(t.Dims, dim, bounds, p.Rank)}
}

// take notes the slices that a node reads, and reports whether it may have all of them.
func (p *planner) take(wants ...want) bool {
	for _, w := range wants {
		if t := p.constants[w.name]; p.keep[w.name] != "" || t != nil && t.Type.Size() == 0 {
			return false
		}
		if have, ok := p.slices[w.name]; ok && !have.equal(w.Slice) {
			p.keepWhole(w.name, "two nodes read different rows of it")
			return false
		}
	}
	for _, w := range wants {
		p.slices[w.name] = w.Slice
		p.sliced[w.name]++
	}
	return true
}

// dims returns the dimensions of a value behind the first, false if not all are numbers.
func (p *planner) dims(name string) ([]int, bool) {
	t, ok := p.info.Type(name)
	if !ok || !t.HasShape || len(t.Shape) < 2 {
		return nil, false
	}
	dims := make([]int, 0, len(t.Shape)-1)
	for _, d := range t.Shape[1:] {
		if !d.Known() {
			return nil, false
		}
		dims = append(dims, int(d.Value))
	}
	return dims, true
}

func product[T int | int64](dims []T) int {
	n := 1
	for _, d := range dims {
		n *= int(d)
	}
	return n
}
