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
	block []*piece
}

// operations is what FoldAuto counts for the piece on its own.
func (p *piece) operations() int64 {
	if p.layer != nil {
		return p.layer.NonZeros
	}
	n := int64(0)
	for _, f := range p.linear.factors {
		n += f.Count()
	}
	return n
}

// bytes is the size of its constants on its own, with a matrix in that layout.
func (p *piece) bytes(layout record.Layout) int64 {
	if p.layer != nil {
		return p.layer.bytesIn(layout) + p.layer.biasBytes(slices.ContainsFunc(p.linear.factors, affine.Factor.Biased))
	}
	n := int64(0)
	for _, f := range p.linear.factors {
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

// foldNormalizations multiplies every BatchNormalization that alone reads a matrix
// into it, where the matrix takes a scale.
func (pl *planner) foldNormalizations(pieces []*piece) []*piece {
	by := make(map[*onnxio.Node]*piece)
	for _, p := range pieces {
		by[p.node] = p
	}
	gone := make(map[*piece]bool)
	for _, p := range pieces {
		f, ok := p.form.(matrix)
		if !ok || !f.takesScale {
			continue
		}
		bn := by[pl.links.SoleReader(p.writes[0])]
		if bn == nil || bn.reads[0] != p.writes[0] {
			continue
		}
		if d, ok := bn.form.(diagonal); ok {
			p.scale(bn, d)
			gone[bn] = true
		}
	}
	return slices.DeleteFunc(pieces, func(p *piece) bool { return gone[p] })
}

// scale multiplies a BatchNormalization into the matrix of the piece.
func (p *piece) scale(bn *piece, d diagonal) {
	p.writes = bn.writes
	l := p.layer
	l.weights = l.weights.(*affine.Map).ScaleChannels(d.scale, d.shift)
	l.CNNParameters += int64(bn.linear.params)
	l.Output, l.Folded = bn.writes[0], append(l.Folded, bn.node.Label())
	p.linear.factors = append(p.linear.factors, bn.linear.factors...)
	p.linear.sources = append(p.linear.sources, bn.linear.sources...)
	p.linear.params += bn.linear.params
}

// fold multiplies chains of linear operators out as the options ask.
func (pl *planner) fold(pieces []*piece) ([]*piece, error) {
	folded := make(map[*piece]*piece) // by what is multiplied: the product
	if pl.opts.folds() {
		for _, chain := range pl.chains(pieces) {
			for _, block := range pl.cuts(chain) {
				f, product, err := pl.product(block)
				if err != nil {
					return nil, err
				}
				for _, p := range block {
					folded[p] = product
				}
				pl.plan.Folded = append(pl.plan.Folded, f)
			}
		}
	}
	var rest []*piece
	for _, p := range pieces {
		product := folded[p]
		switch {
		case product == nil && p.linear != nil && p.linear.refuse != nil:
			return nil, p.linear.refuse
		case product == nil:
			rest = append(rest, p)
		case product.writes[0] == p.writes[0]: // it takes the place of the last
			rest = append(rest, product)
		}
	}
	return rest, nil
}

// chains returns the maximal chains of linear pieces between which values have no
// other reader.
func (pl *planner) chains(pieces []*piece) [][]*piece {
	readers := make(map[string]int)
	next := make(map[string]*piece) // by the value that it reads
	for _, p := range pieces {
		for _, name := range p.reads {
			readers[name]++
		}
		if p.linear != nil {
			next[p.reads[0]] = p
		}
	}
	follower := func(p *piece) *piece {
		if value := p.writes[0]; readers[value] == 1 && !pl.links.IsOutput(value) {
			return next[value]
		}
		return nil
	}
	inner := make(map[*piece]bool)
	for _, p := range pieces {
		if p.linear != nil {
			inner[follower(p)] = true
		}
	}
	var chains [][]*piece
	for _, p := range pieces {
		if p.linear == nil || inner[p] {
			continue
		}
		var chain []*piece
		for ; p != nil; p = follower(p) {
			chain = append(chain, p)
		}
		chains = append(chains, chain)
	}
	return chains
}

// cuts returns the blocks of a chain that are to be multiplied out, each from one
// operator to another. One without a matrix stays as it is: Mul, Add and Gather cost
// less than any.
func (pl *planner) cuts(chain []*piece) [][]*piece {
	var at []int // of the operators, among the reshapes
	for i, p := range chain {
		if len(p.linear.factors) > 0 {
			at = append(at, i)
		}
	}
	if len(at) < 2 || !hasMatrix(chain) {
		return nil
	}
	block := func(i, j int) []*piece { return chain[at[i] : at[j-1]+1] }
	if pl.opts.Fold == FoldAll {
		return [][]*piece{block(0, len(at))}
	}
	// least[j] is the fewest operations that the first j operators can be done in,
	// and from[j] where the last block starts then.
	least, from := make([]int64, len(at)+1), make([]int, len(at)+1)
	for j := 1; j <= len(at); j++ {
		least[j], from[j] = least[j-1]+chain[at[j-1]].operations(), j-1
		for i := j - 2; i >= 0; i-- {
			if p := block(i, j); hasMatrix(p) && least[i] < least[j] {
				if n := least[i] + composed(p, 0).NonZeros(); n < least[j] {
					least[j], from[j] = n, i
				}
			}
		}
	}
	var blocks [][]*piece
	for j := len(at); j > 0; j = from[j] {
		if j-from[j] > 1 {
			blocks = append(blocks, block(from[j], j))
		}
	}
	slices.Reverse(blocks)
	return blocks
}

func hasMatrix(block []*piece) bool {
	return slices.ContainsFunc(block, func(p *piece) bool { return p.layer != nil })
}

// composed returns the product of a block.
func composed(block []*piece, positions int) *affine.Product {
	var factors []affine.Factor
	for _, p := range block {
		factors = append(factors, p.linear.factors...)
	}
	return affine.NewProduct(factors, positions)
}

// product makes one layer of a block. It has the name of the first operator in it
// that has weights of its own, or else of the first that is a matrix.
func (pl *planner) product(block []*piece) (*Folding, *piece, error) {
	first, last := block[0], block[len(block)-1]
	in, err := pl.vector(first.reads[0])
	if err != nil {
		return nil, nil, err
	}
	out, err := pl.vector(last.writes[0])
	if err != nil {
		return nil, nil, err
	}
	firstMatrix := block[slices.IndexFunc(block, func(p *piece) bool { return p.layer != nil })]
	main := firstMatrix
	for _, p := range slices.Backward(block) {
		if p.layer != nil && p.linear.params > 0 {
			main = p
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
	rec.Op, rec.Node, rec.Source, rec.Output = productOp, main.layer.Node, main.layer.Source, last.writes[0]
	if rec.Layout, err = pl.layoutOfProduct(block); err != nil {
		return nil, nil, err
	}
	layer := &Layer{Rows: int64(m.Rows()), Cols: int64(m.Cols()), NonZeros: m.NonZeros(), weights: m}
	if layer.NonZeros == 0 {
		rec.Layout = record.Dense
	}
	f := &Folding{Layer: rec.Node, Operations: layer.NonZeros, layer: layer, block: block}
	for _, p := range block {
		for _, s := range p.linear.sources {
			rec.Factors = append(rec.Factors, s)
			f.Ops, f.Nodes = append(f.Ops, s.Op), append(f.Nodes, s.Node)
			if s.Node != main.linear.sources[0].Node {
				rec.Folded = append(rec.Folded, s.Node)
			}
		}
		f.OperationsApart += p.operations()
		layer.CNNParameters += int64(p.linear.params)
		if p.layer != nil {
			layer.MACs += p.layer.MACs
		}
	}
	rec.Folded = slices.Compact(rec.Folded)
	layer.Layer = rec
	n := &onnxio.Node{OpType: main.node.OpType, Inputs: first.reads, Outputs: last.writes, Metadata: main.node.Metadata}
	if main.node.Name != "" {
		n.Name = f.Layer
	}
	return f, &piece{
		node: n, reads: n.Inputs, writes: n.Outputs, form: matrix{}, layer: layer,
		order: firstMatrix.order,
	}, nil
}

// layoutOfProduct returns the layout of a product: that of the factor that was given
// one of its own, or else that of all layers.
func (pl *planner) layoutOfProduct(block []*piece) (record.Layout, error) {
	var given record.Layout
	var by string
	for _, p := range block {
		if p.layer == nil {
			continue
		}
		name, layout := pl.opts.given(p.layer.Node, p.linear.sources[0].Node)
		if layout == "" {
			continue
		}
		if given != "" && given != layout {
			return "", fmt.Errorf("layers %q and %q are multiplied into one matrix, and cannot be %s and %s; "+
				"give them one layout, or keep one of them", by, name, given, layout)
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

// given returns the first of the names of a layer that Options.Layers has, with its
// layout; both are "" if it has none.
func (o Options) given(names ...string) (string, record.Layout) {
	for _, name := range names {
		if l, ok := o.Layers[name]; ok {
			return name, l
		}
	}
	return "", ""
}

// settleFolded notes what the foldings take, now that the layouts are known.
func (p *Plan) settleFolded() {
	for _, f := range p.Folded {
		f.BytesApart = 0
		for _, p := range f.block {
			f.BytesApart += p.bytes(f.layer.Layout)
		}
		f.Bytes = f.layer.bytesIn(f.layer.Layout) + f.layer.biasBytes(f.layer.weights.HasBias())
	}
}
