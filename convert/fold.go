package convert

import (
	"fmt"
	"slices"

	"efcn/convert/affine"
	"efcn/convert/record"
	"efcn/onnxio"
)

// Fold says which neighbouring linear operators are multiplied together into one
// matrix. Two are neighbours if nothing but the second reads what the first
// computes, and no output of the graph is that value; reshapes do not part them.
type Fold string

const (
	// FoldOff multiplies nothing but a BatchNormalization into the Conv or Gemm
	// before it.
	FoldOff Fold = "off"
	// FoldAuto cuts every chain of neighbours into pieces, each multiplied out, so
	// that the operations are fewest: a matrix counts its non-zeros (geometry, not
	// values), a BatchNormalization or an elementwise operator and a selection of
	// elements one for every element that they compute. Where there is a choice,
	// what is apart stays so.
	FoldAuto Fold = "auto"
	// FoldAll makes one matrix of every chain in which there is one.
	FoldAll Fold = "all"
)

// Folds lists what Options.Fold can be.
func Folds() []Fold { return []Fold{FoldOff, FoldAuto, FoldAll} }

// productOp is what a record gives as the operator of a layer that is a product.
const productOp = "Product"

// Folding says what multiplying some operators of the CNN into one layer changed.
type Folding struct {
	Layer string   `json:"layer"` // name of the layer
	Ops   []string `json:"ops"`   // the operators, the first applied first
	Nodes []string `json:"nodes"` // their labels
	// The operations that a FoldAuto compares, before and after.
	OperationsApart int64 `json:"operations_apart"`
	Operations      int64 `json:"operations"`
	// The bytes of weights, biases and index tables, before and after, both in the
	// layout that the layer has.
	BytesApart int64 `json:"bytes_apart"`
	Bytes      int64 `json:"bytes"`

	layer *Layer
	links []*link
}

// link is what is known of a value that is an affine function of one other value.
type link struct {
	node          *onnxio.Node // what the planner was asked about
	input, output string
	factors       []affine.Factor // in the order in which they are applied; none where the vector is the same
	sources       []record.Factor // the operators that the factors are, one or two factors each
	params        int             // weights and biases that it has in the CNN
	layer         *Layer          // its matrix, nil if it needs none on its own
	refuse        error           // why it cannot be on its own as it was asked to be
}

// operations is what FoldAuto counts for the operator on its own.
func (l *link) operations() int64 {
	if l.layer != nil {
		return l.layer.NonZeros
	}
	n := int64(0)
	for _, f := range l.factors {
		n += f.Count()
	}
	return n
}

// bytes is the size of its constants on its own, with a matrix in that layout.
func (l *link) bytes(layout record.Layout) int64 {
	if l.layer != nil {
		return l.layer.bytesIn(layout) + l.layer.biasBytes(slices.ContainsFunc(l.factors, affine.Factor.Biased))
	}
	n := int64(0)
	for _, f := range l.factors {
		n += f.Bytes()
	}
	return n
}

func (l *Layer) biasBytes(biased bool) int64 {
	if biased {
		return 4 * l.Rows
	}
	return 0
}

// element is one of the steps that put the eFCN together, in their order.
type element struct {
	reads, writes []string // values of the CNN
	links         []*link  // of what it writes; none if that is not linear
	step          step
}

// note keeps what is known of a value for folding. It belongs to the step that is
// being planned.
func (pl *planner) note(l *link) {
	pl.fresh = append(pl.fresh, l)
}

// noteFactor notes that node n computes output from its first input by one map.
func (pl *planner) noteFactor(n *onnxio.Node, output string, f affine.Factor, params int) {
	pl.note(&link{
		node: n, input: n.Input(0), output: output, factors: []affine.Factor{f}, params: params,
		sources: []record.Factor{{Op: n.OpType, Node: n.Label(), Output: output}},
	})
}

// noteView notes that output is the same vector as the first input of n.
func (pl *planner) noteView(n *onnxio.Node, output string) {
	pl.note(&link{node: n, input: n.Input(0), output: output})
}

// emit appends a step, with what was noted while it was planned.
func (pl *planner) emit(reads, writes []string, st step) {
	e := &element{reads: reads, writes: writes, links: pl.fresh, step: st}
	if pl.fresh = nil; e.links != nil {
		e.reads, e.writes = nil, nil
		for _, l := range e.links {
			e.reads, e.writes = append(e.reads, l.input), append(e.writes, l.output)
		}
	}
	pl.elements = append(pl.elements, e)
}

// fold multiplies chains of linear operators out as the options ask, and makes
// the plan's steps of what is left.
func (pl *planner) fold() error {
	folded := make(map[*link]*Folding)
	var chains [][]*link
	if pl.opts.folds() {
		pl.dropDead()
		chains = pl.chains()
	}
	for _, chain := range chains {
		for _, block := range pl.pieces(chain) {
			f, err := pl.product(block)
			if err != nil {
				return err
			}
			for _, l := range block {
				folded[l] = f
			}
			pl.plan.Folded = append(pl.plan.Folded, f)
		}
	}
	for _, e := range pl.elements {
		gone := len(e.links) > 0
		st := e.step
		for _, l := range e.links {
			f := folded[l]
			if f == nil && l.refuse != nil {
				return l.refuse
			}
			if f != nil && f.links[len(f.links)-1] == l {
				gone, st = false, f.step()
			}
			gone = gone && f != nil
		}
		if !gone {
			pl.plan.steps = append(pl.plan.steps, st)
		}
	}
	byLayer := make(map[*Layer]*link)
	for l := range folded {
		if l.layer != nil {
			byLayer[l.layer] = l
		}
	}
	var layers []*Layer
	for _, layer := range pl.plan.Layers {
		l := byLayer[layer]
		if l == nil {
			layers = append(layers, layer)
			continue
		}
		f := folded[l]
		if i := slices.IndexFunc(f.links, func(l *link) bool { return l.layer != nil }); f.links[i] == l {
			layers = append(layers, f.layer)
		}
	}
	pl.plan.Layers = layers
	return nil
}

// dropDead drops the steps that no output depends on, such as the nodes that
// compute the shape for a Reshape: they may read what folding leaves out.
func (pl *planner) dropDead() {
	live := make(map[string]bool)
	for name := range pl.outputs {
		live[name] = true
	}
	for i, e := range slices.Backward(pl.elements) {
		if !slices.ContainsFunc(e.writes, func(name string) bool { return live[name] }) {
			pl.elements[i] = nil
			continue
		}
		for _, name := range e.reads {
			live[name] = true
		}
	}
	pl.elements = slices.DeleteFunc(pl.elements, func(e *element) bool { return e == nil })
}

// chains returns the maximal chains of linear operators between which values have
// no other reader.
func (pl *planner) chains() [][]*link {
	readers := make(map[string]int)
	next := make(map[string]*link) // by the value that it reads
	for _, e := range pl.elements {
		for _, name := range e.reads {
			readers[name]++
		}
		for _, l := range e.links {
			next[l.input] = l
		}
	}
	follower := func(l *link) *link {
		if readers[l.output] == 1 && !pl.outputs[l.output] {
			return next[l.output]
		}
		return nil
	}
	inner := make(map[*link]bool)
	for _, e := range pl.elements {
		for _, l := range e.links {
			if f := follower(l); f != nil {
				inner[f] = true
			}
		}
	}
	var chains [][]*link
	for _, e := range pl.elements {
		for _, l := range e.links {
			if inner[l] {
				continue
			}
			var chain []*link
			for ; l != nil; l = follower(l) {
				chain = append(chain, l)
			}
			chains = append(chains, chain)
		}
	}
	return chains
}

// pieces returns the parts of a chain that are to be multiplied out, each from one
// operator to another. A part without a matrix stays as it is: Mul, Add and Gather
// cost less than any.
func (pl *planner) pieces(chain []*link) [][]*link {
	var at []int // of the operators, among the reshapes
	for i, l := range chain {
		if len(l.factors) > 0 {
			at = append(at, i)
		}
	}
	if len(at) < 2 || !hasMatrix(chain) {
		return nil
	}
	piece := func(i, j int) []*link { return chain[at[i] : at[j-1]+1] }
	if pl.opts.Fold == FoldAll {
		return [][]*link{piece(0, len(at))}
	}
	// least[j] is the fewest operations that the first j operators can be done in,
	// and from[j] where the last piece starts then.
	least, from := make([]int64, len(at)+1), make([]int, len(at)+1)
	for j := 1; j <= len(at); j++ {
		least[j], from[j] = least[j-1]+chain[at[j-1]].operations(), j-1
		for i := j - 2; i >= 0; i-- {
			if p := piece(i, j); hasMatrix(p) && least[i] < least[j] {
				if n := least[i] + composed(p, 0).NonZeros(); n < least[j] {
					least[j], from[j] = n, i
				}
			}
		}
	}
	var pieces [][]*link
	for j := len(at); j > 0; j = from[j] {
		if j-from[j] > 1 {
			pieces = append(pieces, piece(from[j], j))
		}
	}
	slices.Reverse(pieces)
	return pieces
}

func hasMatrix(units []*link) bool {
	return slices.ContainsFunc(units, func(l *link) bool { return l.layer != nil })
}

// composed returns the composition of units.
func composed(units []*link, positions int) *affine.Product {
	var factors []affine.Factor
	for _, l := range units {
		factors = append(factors, l.factors...)
	}
	return affine.NewProduct(factors, positions)
}

// product makes one layer of a block. It has the name of the first operator in it
// that has weights of its own, or else of the first that is a matrix.
func (pl *planner) product(block []*link) (*Folding, error) {
	first, last := block[0], block[len(block)-1]
	in, err := pl.vector(first.input)
	if err != nil {
		return nil, err
	}
	out, err := pl.vector(last.output)
	if err != nil {
		return nil, err
	}
	main := block[slices.IndexFunc(block, func(l *link) bool { return l.layer != nil })]
	for _, l := range slices.Backward(block) {
		if l.layer != nil && l.params > 0 {
			main = l
		}
	}
	rec := vectorRecord(in, out)
	if first.layer != nil {
		rec.InputShape = first.layer.InputShape
	}
	if last.layer != nil {
		rec.OutputShape = last.layer.OutputShape
	}
	m := composed(block, int(affine.Size(rec.OutputShape[min(1, len(rec.OutputShape)):])))
	rec.Op, rec.Node, rec.Source, rec.Output = productOp, main.layer.Node, main.layer.Source, last.output
	if rec.Layout, err = pl.layoutOfProduct(block); err != nil {
		return nil, err
	}
	layer := &Layer{Rows: int64(m.Rows()), Cols: int64(m.Cols()), NonZeros: m.NonZeros(), weights: m}
	if layer.NonZeros == 0 {
		rec.Layout = record.Dense
	}
	f := &Folding{Layer: rec.Node, Operations: layer.NonZeros, layer: layer, links: block}
	for _, l := range block {
		for _, s := range l.sources {
			rec.Factors = append(rec.Factors, s)
			f.Ops, f.Nodes = append(f.Ops, s.Op), append(f.Nodes, s.Node)
			if s.Node != main.sources[0].Node {
				rec.Folded = append(rec.Folded, s.Node)
			}
		}
		f.OperationsApart += l.operations()
		layer.CNNParameters += int64(l.params)
		if l.layer != nil {
			layer.MACs += l.layer.MACs
		}
	}
	rec.Folded = slices.Compact(rec.Folded)
	layer.Layer = rec
	return f, nil
}

// layoutOfProduct returns the layout that the options ask for a layer that units
// are multiplied into: that of the only one that was given one of its own, or else
// that of all layers.
func (pl *planner) layoutOfProduct(block []*link) (record.Layout, error) {
	var given record.Layout
	var by string
	for _, l := range block {
		if l.layer == nil {
			continue
		}
		name, layout := pl.opts.given(l.layer.Node, l.sources[0].Node)
		if layout == "" {
			continue
		}
		if given != "" && given != layout {
			return "", fmt.Errorf("layers %q and %q are multiplied into one matrix, and cannot be %s and %s; give them one layout, or keep one of them", by, name, given, layout)
		}
		given, by = layout, name
	}
	if given != "" {
		return given, nil
	}
	if pl.opts.Layout == "" {
		return record.Auto, nil
	}
	return pl.opts.Layout, nil
}

// given returns which of the names of a layer is given a layout of its own, and
// which.
func (o Options) given(names ...string) (string, record.Layout) {
	for _, name := range names {
		if l, ok := o.Layers[name]; ok {
			return name, l
		}
	}
	return "", ""
}

// step puts the product into the eFCN.
func (f *Folding) step() step {
	first := f.links[0]
	main := f.links[slices.IndexFunc(f.links, func(l *link) bool { return l.layer != nil && l.layer.Node == f.Layer })]
	n := &onnxio.Node{OpType: main.node.OpType, Inputs: []string{first.input}, Outputs: []string{f.layer.Output}, Metadata: main.node.Metadata}
	if main.node.Name != "" {
		n.Name = f.Layer
	}
	return func(b *builder) error { return b.linear(n, f.layer) }
}

// settleFolded notes what the foldings of layers that the eFCN has take, now that
// their layouts are known.
func (p *Plan) settleFolded() {
	p.Folded = slices.DeleteFunc(p.Folded, func(f *Folding) bool { return !slices.Contains(p.Layers, f.layer) })
	for _, f := range p.Folded {
		f.BytesApart = 0
		for _, l := range f.links {
			f.BytesApart += l.bytes(f.layer.Layout)
		}
		f.Bytes = f.layer.bytesIn(f.layer.Layout) + f.layer.biasBytes(f.layer.weights.HasBias())
	}
}
