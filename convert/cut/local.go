package cut

import (
	"fmt"
	"slices"

	"efcn/convert/affine"
	"efcn/convert/record"
	"efcn/internal/engine"
	"efcn/onnxio"
)

// chain is the nodes of a layer in local form, without the bias.
type chain struct {
	record *record.Layer
	*engine.LocalForm
}

// findChains finds the nodes of local and factored layers. What is not as convert writes
// it is no chain, and stays whole.
func (p *planner) findChains() {
	p.chains = map[*onnxio.Node]*chain{}
	if p.record == nil {
		return
	}
	for i := range p.record.Layers {
		l := &p.record.Layers[i]
		product := p.links.SoleReader(l.Weight)
		if !l.Layout.LocalForm() || product == nil || product.OpType != "MatMul" || product.Input(0) != l.Weight ||
			p.constants[l.Weight] == nil || len(p.constants[l.Weight].Dims) != 4 {
			continue
		}
		form, err := engine.LocalFormAround(product, p.links, func(string) bool { return false })
		if err != nil {
			continue
		}
		for _, n := range form.Nodes {
			p.chains[n] = &chain{l, form}
		}
	}
}

// decideLocal is decide for a layer in local or factored form. Its weights are
// [group, position, channel, slot].
func (p *planner) decideLocal(l *layer) string {
	dims := p.constants[l.record.Weight].Dims
	groups, positions, channels := int(dims[0]), int(dims[1]), int(dims[2])
	shape, ok := p.reshapes(l.chain.Nodes[0])
	switch {
	case !ok || len(shape) != 3 || shape[1] != dims[0] || shape[2] < 1:
		return "the shape of what it reads is not as convert writes it"
	case groups == 1 && channels >= p.Ranks:
		l.rows = evenly(channels, p.Ranks, positions)
	case groups == 1:
		return fmt.Sprintf("it has %d channels, fewer than there are ranks", channels)
	case p.Support && l.record.Right != "":
		return "its local form reads the columns of its groups, and U·V all columns"
	case groups >= p.Ranks:
		l.groups = evenly(groups, p.Ranks, 1)
		l.rows, l.columns = evenly(groups, p.Ranks, channels*positions), evenly(groups, p.Ranks, int(shape[2]))
	default:
		return fmt.Sprintf("it has %d groups, fewer than there are ranks", groups)
	}
	if why := l.lacksLocalSupport(dims); why != "" {
		l.rows, l.groups, l.columns = nil, nil, nil
		return why
	}
	if name := l.record.Right; name != "" && !p.Support {
		if v := p.constants[name]; v != nil && len(v.Dims) == 2 && int(v.Dims[0]) >= p.Ranks {
			l.right = evenly(int(v.Dims[0]), p.Ranks, 1)
		}
	}
	return ""
}

// lacksLocalSupport returns why a part of a layer in local form would not be what its
// record says.
func (l *layer) lacksLocalSupport(dims []int64) string {
	if affine.Size(l.record.OutputShape) != affine.Size(dims[:3]) {
		return "the record has another number of outputs"
	}
	part, ok := l.recordOf(0)
	if !ok {
		return "the channels of its local form are not those of its output"
	}
	m, err := l.record.Support()
	of, errPart := part.Support()
	if err != nil || errPart != nil || (m == nil) != (of == nil) {
		return "its channels have no support by themselves"
	}
	if of == nil {
		return ""
	}
	want := slices.Clone(dims)
	if l.groups == nil {
		want[2] = part.OutputShape[0]
	} else {
		want[0] = int64(l.groups[1])
	}
	if have, _ := of.LocalDims(); !slices.Equal(have, want) {
		return "the local form of some of its channels is another"
	}
	return ""
}

// reshapes returns the constant shape of a Reshape.
func (p *planner) reshapes(n *onnxio.Node) ([]int64, bool) {
	t := p.constants[n.Input(1)]
	if t == nil || len(t.Dims) != 1 {
		return nil, false
	}
	shape, err := onnxio.Ints(t)
	return shape, err == nil
}

// chainStep cuts a node of a layer in local form. In groups a part reads some of them
// only: its own slice, where that is what it has, and else a range of the whole.
func (p *planner) chainStep(c *chain, n *onnxio.Node) *step {
	l := p.byWeight[c.record.Weight]
	if l == nil || l.rows == nil {
		return nil
	}
	switch n {
	case c.Weight:
		w, dim, bounds := p.constants[c.record.Weight], 2, evenly(p.channels(l), p.Ranks, 1)
		if l.groups != nil {
			dim, bounds = 0, l.groups
		}
		if !p.take(p.along(w, dim, bounds)) {
			return nil
		}
		return &step{reads: []read{readOwn, readOwn}}
	case c.Nodes[len(c.Nodes)-1]:
		p.cuts[n.Output(0)] = l.rows
		return &step{reads: []read{readOwn}}
	case c.Nodes[0]:
		if l.groups == nil {
			return &step{reads: []read{readPartial}}
		}
		s := &step{size: l.groups[p.Rank+1] - l.groups[p.Rank], reads: []read{readPartial}, from: l.columns}
		p.readGroups(n, s)
		return s
	}
	return &step{reads: []read{readOwn}}
}

// readGroups lets a node that reads some groups read its own slice, where that is what
// the rank has of input 0.
func (p *planner) readGroups(n *onnxio.Node, s *step) {
	if slices.Equal(p.cuts[n.Input(0)], s.from) {
		s.reads[0], s.from = readOwn, nil
	}
}

// channels is how many channels a group of a layer in local form has.
func (p *planner) channels(l *layer) int { return int(p.constants[l.record.Weight].Dims[2]) }
