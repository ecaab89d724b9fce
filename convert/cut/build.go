package cut

import (
	"fmt"
	"slices"

	"efcn/convert/record"
	"efcn/onnxio"
)

// builder makes the model of a rank of what was decided.
type builder struct {
	*planner
	part  *Part
	graph *onnxio.Graph
	names *onnxio.Names
	// Names of a value of the whole model: this rank's slice of it, the whole of it, and
	// the whole of which the gradient is summed.
	own, joined, spread map[string]string
	deep                map[string]bool // values that depend on what may be weights
	dropped             map[string]bool // values whose declared types are of the whole
}

func (p *planner) build() (*Part, error) {
	model := p.whole.Clone()
	b := &builder{
		planner: p, graph: model.Graph, names: p.whole.Graph.Names(),
		part: &Part{Whole: p.whole, Model: model, Slices: p.slices},
		own:  map[string]string{}, joined: map[string]string{}, spread: map[string]string{},
		deep: map[string]bool{}, dropped: map[string]bool{},
	}
	nodes := b.graph.Nodes
	b.graph.Nodes = nil
	b.graph.Initializers = slices.Clone(b.graph.Initializers)
	for i, n := range p.whole.Graph.Nodes {
		if err := b.node(n, nodes[i]); err != nil {
			return nil, err
		}
	}
	for _, o := range b.graph.Outputs {
		if p.cuts[o.Name] != nil {
			b.whole(o.Name)
		}
	}
	b.slice()
	b.graph.ValueInfos = slices.DeleteFunc(slices.Clone(b.graph.ValueInfos),
		func(v *onnxio.ValueInfo) bool { return b.dropped[v.Name] })
	b.graph.Prune()
	if len(b.part.Gathers) > 0 {
		model.Opsets = append(slices.Clone(model.Opsets), onnxio.Opset{Domain: onnxio.RanksDomain, Version: 1})
	}
	b.listLayers()
	return b.part, b.writeRecord(model)
}

// slice puts slices in the place of the constants that are cut.
func (b *builder) slice() {
	for i, t := range b.graph.Initializers {
		if s, ok := b.slices[t.Name]; ok {
			b.graph.Initializers[i] = s.Tensor(t)
		}
	}
	for name, m := range b.sparse {
		s, ok := b.slices[name]
		if !ok {
			continue
		}
		l, cols := b.byWeight[name], [2]int{0, int(m.Dims[1])}
		if l.columns != nil {
			cols = [2]int(l.columns[b.Rank:])
		}
		b.graph.SetSparse(name, m.part(s, [2]int(l.rows[b.Rank:]), cols))
	}
}

// node appends a node of the whole model, of which copied is a copy.
func (b *builder) node(n, copied *onnxio.Node) error {
	s := b.steps[n]
	deep := false
	for name := range n.Reads() {
		deep = deep || b.deep[name] || b.constants[name] != nil && b.constants[name].Type.IsFloat() || b.sparse[name] != nil
	}
	inner := map[string]string{} // what graphs in the node read
	for name := range n.Reads() {
		if b.cuts[name] != nil && !slices.Contains(n.Inputs, name) {
			inner[name] = b.whole(name)
		}
	}
	inputs := make([]string, len(n.Inputs))
	for i, name := range n.Inputs {
		inputs[i] = b.input(name, s.of(i))
	}
	if len(inner) > 0 {
		copied = copied.Renamed(inner)
	}
	copied.Inputs = inputs
	if s.from != nil {
		copied.Inputs[0] = b.rangeOf(n, copied.Inputs[0], s.from)
	}
	if s.size != 0 {
		shape, ok := b.reshapes(n)
		if !ok {
			return n.Errorf("its shape cannot be read")
		}
		shape[1] = int64(s.size)
		copied.Inputs[1] = b.list(n.Output(0)+"/shape", shape...)
	}
	copied.Outputs = slices.Clone(n.Outputs)
	for i, name := range copied.Outputs {
		b.deep[name] = deep
		if len(s.reads) > 0 {
			b.dropped[name] = true
		}
		if b.cuts[name] != nil && b.links.IsOutput(name) {
			b.own[name] = b.names.Free(name + "/part")
			copied.Outputs[i] = b.own[name]
		}
	}
	b.graph.Nodes = append(b.graph.Nodes, copied)
	return nil
}

// input returns the name under which a node reads a value.
func (b *builder) input(name string, how read) string {
	switch {
	case name == "" || how == readOwn && b.cuts[name] == nil:
		return name
	case how == readOwn:
		if own := b.own[name]; own != "" {
			return own
		}
		return name
	case how == readWhole:
		return b.whole(name)
	}
	return b.summed(name)
}

// whole returns the name of all of a value, which is gathered if it is cut.
func (b *builder) whole(name string) string {
	bounds := b.cuts[name]
	if bounds == nil {
		return name
	}
	if joined := b.joined[name]; joined != "" {
		return joined
	}
	joined := name
	if !b.links.IsOutput(name) {
		joined = b.names.Free(name + "/whole")
	}
	sizes := make([]int64, b.Ranks)
	for r := range sizes {
		sizes[r] = int64(bounds[r+1] - bounds[r])
	}
	n := b.exchange(onnxio.AllGather, b.input(name, readOwn), joined)
	n.Attributes = []*onnxio.Attribute{onnxio.IntsAttr("sizes", sizes...)}
	if b.sums(name) {
		n.Attributes = append(n.Attributes, onnxio.IntAttr("partial", 1))
	}
	b.joined[name] = joined
	dims, _ := b.dims(name)
	g := Gather{Value: name, Partial: b.sums(name), Size: product(dims), Sizes: make([]int, b.Ranks)}
	for r, size := range sizes {
		g.Sizes[r] = int(size) * product(dims[1:])
	}
	b.part.Gathers = append(b.part.Gathers, g)
	return joined
}

// sums reports whether the gradient at what is gathered of a value is a part of a sum on
// every rank, as it is where cut layers alone read it.
func (b *builder) sums(name string) bool {
	return b.readers[name].partial && !b.readers[name].whole && !b.links.IsOutput(name)
}

// summed returns the name of all of a value, whose gradient each rank has a part of.
func (b *builder) summed(name string) string {
	from := b.whole(name)
	if b.cuts[name] != nil && b.sums(name) || b.cuts[name] == nil && !b.deep[name] {
		return from
	}
	if b.spread[name] == "" {
		b.spread[name] = b.names.Free(name + "/spread")
		b.exchange(onnxio.Spread, from, b.spread[name])
		dims, _ := b.dims(name)
		b.part.Gathers = append(b.part.Gathers, Gather{Value: name, Partial: true, Size: product(dims)})
	}
	return b.spread[name]
}

// exchange appends a node that works over the ranks.
func (b *builder) exchange(op, from, to string) *onnxio.Node {
	n := &onnxio.Node{
		Name: b.names.Free(to + "/" + op), Domain: onnxio.RanksDomain, OpType: op,
		Inputs: []string{from}, Outputs: []string{to},
	}
	b.graph.Nodes = append(b.graph.Nodes, n)
	return n
}

// rangeOf appends a Slice of a value along axis 1, for a node, and returns its name.
func (b *builder) rangeOf(n *onnxio.Node, from string, bounds []int) string {
	to := b.names.Free(n.Output(0) + "/groups")
	lo, hi := int64(bounds[b.Rank]), int64(bounds[b.Rank+1])
	slice := &onnxio.Node{
		Name: b.names.Free(to + "/Slice"), OpType: "Slice", Inputs: []string{from}, Outputs: []string{to},
	}
	if schema, ok := onnxio.LookupOp("", "Slice", b.planner.whole.Opset("")); ok && schema.MaxInputs == 1 {
		slice.Attributes = []*onnxio.Attribute{
			onnxio.IntsAttr("starts", lo), onnxio.IntsAttr("ends", hi), onnxio.IntsAttr("axes", 1),
		}
	} else {
		slice.Inputs = append(slice.Inputs, b.list(to+"/starts", lo), b.list(to+"/ends", hi), b.list(to+"/axes", 1))
	}
	b.graph.Nodes = append(b.graph.Nodes, slice)
	return to
}

// list puts a list of integers into the graph and returns its name.
func (b *builder) list(name string, values ...int64) string {
	t := onnxio.NewTensor(b.names.Free(name), []int64{int64(len(values))}, values)
	b.graph.Initializers = append(b.graph.Initializers, t)
	return t.Name
}

// listLayers lists what becomes of the layers, and which other large weights are whole.
func (b *builder) listLayers() {
	listed := map[string]bool{}
	for _, n := range b.planner.whole.Graph.Nodes {
		for _, l := range b.layers {
			if l.nodes[0] == n {
				b.part.Layers = append(b.part.Layers, b.listed(l))
			}
		}
		for _, name := range n.Inputs {
			t := b.constants[name]
			_, cut := b.slices[name]
			if cut || t == nil || !t.Type.IsFloat() || t.Data.Len() < b.Least || b.byWeight[name] != nil || listed[name] {
				continue
			}
			listed[name] = true
			b.part.Layers = append(b.part.Layers, Layer{
				Node: n.Label(), Bytes: t.Data.Len(), Own: t.Data.Len(),
				Whole: fmt.Sprintf("%q is read by a %s; what is cut are the matrices of products", name, n.QualifiedOp()),
			})
		}
	}
}

// listed is what becomes of a layer.
func (b *builder) listed(l *layer) Layer {
	own := l.bytes
	for _, name := range l.weights {
		if s, ok := b.slices[name]; ok {
			size := b.weightBytes(name)
			own -= size - size/int64(s.Outer*s.Axis*s.Inner)*int64(s.Len())
		}
	}
	return Layer{Node: l.nodes[0].Label(), Bytes: l.bytes, Own: own, Whole: l.whole, Unrecorded: l.unrecorded}
}

// writeRecord writes that of the part.
func (b *builder) writeRecord(model *onnxio.Model) error {
	if b.record == nil {
		return nil
	}
	rec := *b.record
	rec.Layers = nil
	for i := range b.record.Layers {
		l := &b.record.Layers[i]
		cut := b.byWeight[l.Weight]
		switch {
		case cut == nil || cut.rows == nil:
			rec.Layers = append(rec.Layers, *l)
		case cut.unrecorded == "":
			part, ok := cut.recordOf(b.Rank)
			if !ok {
				return fmt.Errorf("layer %q: its record cannot be cut", l.Node)
			}
			rec.Layers = append(rec.Layers, part)
		}
	}
	if rec.Layers == nil {
		rec.Layers = []record.Layer{}
	}
	return rec.Write(model)
}
