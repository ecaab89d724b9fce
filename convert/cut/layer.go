package cut

import (
	"fmt"
	"slices"

	"efcn/convert/affine"
	"efcn/convert/record"
	"efcn/onnxio"
)

// layer is a large linear layer.
type layer struct {
	record  *record.Layer  // nil without
	nodes   []*onnxio.Node // that read its weights, but for U and V
	chain   *chain         // in local and factored form
	weights []string       // with U and V
	bytes   int64

	// Of an attempt: why it is whole, why it is not in the record of the part, the bounds
	// of its rows, nil where it is whole, those of its groups where it is cut at them, with
	// those of what they read, and those of the rows of V.
	whole, unrecorded            string
	rows, groups, columns, right []int
}

// bounds are those of the rows of one of its weights, nil where that is whole.
func (l *layer) bounds(weight string) []int {
	if l.record != nil && weight == l.record.Right {
		return l.right
	}
	return l.rows
}

// findLayers finds the layers of at least Least bytes.
func (p *planner) findLayers() {
	byWeight := map[string][]*record.Layer{}
	if p.record != nil {
		for i := range p.record.Layers {
			l := &p.record.Layers[i]
			byWeight[l.Weight] = append(byWeight[l.Weight], l)
		}
	}
	for _, n := range p.whole.Graph.Nodes {
		if c := p.chains[n]; c != nil && n == c.Weight {
			p.addLayer(&layer{
				record: c.record, chain: c, nodes: []*onnxio.Node{n},
				weights: slices.DeleteFunc([]string{c.record.Weight, c.record.Left, c.record.Right},
					func(name string) bool { return name == "" }),
			})
		}
	}
	for _, n := range p.whole.Graph.Nodes {
		if !isProduct(n) || p.chains[n] != nil || p.constants[n.Input(1)] == nil && p.sparse[n.Input(1)] == nil {
			continue
		}
		name := n.Input(1)
		if l := p.byWeight[name]; l != nil {
			if l.record == nil || name == l.record.Weight {
				l.nodes = append(l.nodes, n)
			}
			continue
		}
		l := &layer{nodes: []*onnxio.Node{n}, weights: []string{name}}
		if of := byWeight[name]; len(of) == 1 {
			l.record = of[0]
		} else if len(of) > 1 {
			p.keep[name] = fmt.Sprintf("layers %q and %q have one matrix", of[0].Node, of[1].Node)
		}
		p.addLayer(l)
	}
	at := map[*onnxio.Node]int{}
	for i, n := range p.whole.Graph.Nodes {
		at[n] = i
	}
	slices.SortFunc(p.layers, func(a, b *layer) int { return at[a.nodes[0]] - at[b.nodes[0]] })
}

func isNamed(name string) bool { return name != "" }

func isProduct(n *onnxio.Node) bool {
	return onnxio.CanonicalDomain(n.Domain) == "" && (n.OpType == "Gemm" || n.OpType == "MatMul")
}

func (p *planner) addLayer(l *layer) {
	for _, name := range l.weights {
		l.bytes += p.weightBytes(name)
	}
	if l.bytes < p.Least {
		return
	}
	p.layers = append(p.layers, l)
	for _, name := range l.weights {
		p.byWeight[name] = l
	}
}

// weightBytes is what a constant takes, of a sparse one its values and indices.
func (p *planner) weightBytes(name string) int64 {
	if s := p.sparse[name]; s != nil {
		return s.Values.Data.Len() + s.Indices.Data.Len()
	}
	if t := p.constants[name]; t != nil {
		return t.Data.Len()
	}
	return 0
}

// decide finds the bounds of a layer, or why it is whole. It depends on no rank.
func (p *planner) decide(l *layer) (why string) {
	for _, name := range l.weights {
		if p.keep[name] != "" {
			return fmt.Sprintf("%q: %s", name, p.keep[name])
		}
	}
	if l.chain != nil {
		return p.decideLocal(l)
	}
	why = p.decideProduct(l)
	if s := p.sparse[l.weights[0]]; why == "" && s != nil {
		if why = s.lacksEntries(l.rows); why != "" {
			l.rows, l.groups, l.columns, l.unrecorded = nil, nil, nil, ""
		}
	}
	return why
}

// decideProduct is decide for a matrix, dense or sparse.
func (p *planner) decideProduct(l *layer) string {
	rows, cols := 0, 0
	for i, n := range l.nodes {
		f, why := p.factor(n)
		if why != "" {
			return why
		}
		if i > 0 && (rows != f.rows || cols != f.cols) {
			return "two nodes read its weights, one of them transposed"
		}
		rows, cols = f.rows, f.cols
	}
	if p.inGroups(l, rows, cols) {
		return ""
	}
	channels := rows
	if r := l.record; r != nil && len(r.OutputShape) > 0 && affine.Size(r.OutputShape) == int64(rows) {
		channels = int(r.OutputShape[0])
	}
	if channels < p.Ranks && !p.Support {
		channels = rows // a part of a channel has no support
	}
	if channels < p.Ranks {
		return fmt.Sprintf("it has %d channels, fewer than there are ranks", channels)
	}
	l.rows = evenly(channels, p.Ranks, rows/channels)
	if l.record == nil {
		return ""
	}
	why := l.lacksSupport(cols)
	if why != "" && p.Support {
		l.rows = nil
		return why
	}
	l.unrecorded = why
	return ""
}

// inGroups cuts a sparse layer at its groups, and reports whether it could.
func (p *planner) inGroups(l *layer, rows, cols int) bool {
	s := p.sparse[l.weights[0]]
	if s == nil || l.record == nil {
		return false
	}
	m, err := l.record.Support()
	if err != nil || m == nil || m.Groups < max(2, p.Ranks) || m.Rows() != rows || m.Cols() != cols ||
		s.outside(rows/m.Groups, cols/m.Groups) != "" {
		return false
	}
	l.groups, l.columns = evenly(m.Groups, p.Ranks, 1), evenly(m.Groups, p.Ranks, cols/m.Groups)
	l.rows = evenly(m.Groups, p.Ranks, rows/m.Groups)
	part, ok := l.recordOf(0)
	if of, err := part.Support(); !ok || err != nil || of == nil || of.Rows() != l.rows[1] || of.Cols() != l.columns[1] {
		l.rows, l.groups, l.columns = nil, nil, nil
		return false
	}
	return true
}

// lacksSupport returns why the rows of a dense or sparse layer cannot be in the record of
// a part, "" if they can.
func (l *layer) lacksSupport(cols int) string {
	m, err := l.record.Support()
	if err != nil {
		return err.Error()
	}
	if m != nil && (m.Groups != 1 || m.Shared != nil) {
		return fmt.Sprintf("its channels are in %d groups: rows of some channels have a support of other columns",
			m.Groups)
	}
	part, ok := l.recordOf(0)
	if !ok {
		return "its parts are no whole channels"
	}
	of, err := part.Support()
	if err != nil || (m == nil) != (of == nil) || of != nil && (of.Cols() != cols || of.Rows() != l.rows[1]) {
		return "its channels have no support by themselves"
	}
	return ""
}

// recordOf returns what the record of a rank says of the layer, and false if its rows are
// no whole channels.
func (l *layer) recordOf(rank int) (record.Layer, bool) {
	r := *l.record
	if len(r.OutputShape) == 0 {
		return r, false
	}
	r.OutputShape = slices.Clone(r.OutputShape)
	positions := int(affine.Size(r.OutputShape[1:]))
	lo, hi := l.rows[rank], l.rows[rank+1]
	if positions == 0 || lo%positions != 0 || hi%positions != 0 {
		return r, false
	}
	r.OutputShape[0] = int64((hi - lo) / positions)
	if l.groups == nil {
		return r, true
	}
	groups := l.groups[len(l.groups)-1]
	if len(r.InputShape) == 0 || int(r.InputShape[0])%groups != 0 {
		return r, false
	}
	own := l.groups[rank+1] - l.groups[rank]
	r.InputShape = slices.Clone(r.InputShape)
	r.InputShape[0] = r.InputShape[0] / int64(groups) * int64(own)
	if r.Group > 0 {
		r.Group = int64(own)
	}
	return r, true
}

// factor is the constant matrix of a product.
type factor struct {
	rows, cols int
	dim        int // of the stored matrix, along which the rows are
}

// factor reads a product of vectors with a constant matrix, or says why it is none that
// can be cut.
func (p *planner) factor(n *onnxio.Node) (factor, string) {
	var dims []int64
	s, t := p.sparse[n.Input(1)], p.constants[n.Input(1)]
	switch {
	case s != nil:
		dims = s.Dims
	case t != nil && t.Type.IsFloat():
		dims = t.Dims
	}
	if len(dims) != 2 {
		return factor{}, "its weights are no constant matrix of a floating type"
	}
	if p.constants[n.Input(0)] != nil || p.sparse[n.Input(0)] != nil {
		return factor{}, "both factors are constants"
	}
	f := factor{rows: int(dims[1]), cols: int(dims[0]), dim: 1}
	if n.OpType == "MatMul" {
		if t, ok := p.info.Type(n.Input(0)); !ok || !t.HasShape || len(t.Shape) != 2 {
			return f, "what it multiplies are no vectors"
		}
	} else {
		transA, errA := n.Int("transA", 0)
		transB, errB := n.Int("transB", 0)
		if errA != nil || errB != nil || transA != 0 {
			return f, "transA mixes the samples of a batch"
		}
		if transB != 0 {
			f = factor{rows: int(dims[0]), cols: int(dims[1]), dim: 0}
		}
	}
	if s != nil && f.dim != 0 {
		return f, "it is sparse and stored by columns"
	}
	if c := n.Input(2); c != "" {
		t := p.constants[c]
		if t == nil || !lastDim(t.Dims, f.rows) {
			return f, "what it adds is no constant with a value for each row"
		}
		if p.keep[c] != "" {
			return f, fmt.Sprintf("%q: %s", c, p.keep[c])
		}
	}
	return f, ""
}

// lastDim reports whether a vector has n elements, along its last axis.
func lastDim(dims []int64, n int) bool {
	return len(dims) > 0 && len(dims) <= 2 && int(dims[len(dims)-1]) == n && product(dims) == n
}

// productStep cuts a product.
func (p *planner) productStep(n *onnxio.Node, l *layer) *step {
	f, why := p.factor(n)
	name, bounds := n.Input(1), l.bounds(n.Input(1))
	if why != "" || bounds[p.Ranks] != f.rows { // U or V that another node reads
		p.keepWhole(name, "its weights are read in another way too")
		return nil
	}
	wants := []want{}
	if s := p.sparse[name]; s != nil {
		wants = append(wants, want{name, s.slice(bounds, p.Rank)})
	} else {
		wants = append(wants, p.along(p.constants[name], f.dim, bounds))
	}
	if c := n.Input(2); c != "" {
		t := p.constants[c]
		wants = append(wants, p.along(t, len(t.Dims)-1, bounds))
	}
	if !p.take(wants...) {
		return nil
	}
	p.cuts[n.Output(0)] = bounds
	x := &step{reads: []read{readPartial, readOwn, readOwn}}
	if p.sparse[name] != nil && l.columns != nil {
		x.from = l.columns
		p.readGroups(n, x)
	}
	return x
}
