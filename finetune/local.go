package finetune

import (
	"errors"
	"fmt"
	"slices"

	"efcn/convert/record"
	"efcn/internal/engine"
	"efcn/internal/kernel"
	"efcn/onnxio"
)

// localChain is a layer in local form: the nodes that convert writes for it,
// which are trained as one. The factors of a factored layer are other nodes.
type localChain struct {
	record *record.Layer
	*engine.LocalForm
}

// localChains finds the local layers of a record among linked nodes. It returns for
// every node of theirs which layer it is part of. Nodes of a layer that are not
// as convert writes them are an error.
func localChains(links *onnxio.Links, rec *record.Record) (map[*onnxio.Node]*localChain, error) {
	if rec == nil {
		return nil, nil
	}
	chains := map[*onnxio.Node]*localChain{}
	var errs []error
	for i := range rec.Layers {
		l := &rec.Layers[i]
		if !l.Layout.LocalForm() || links.Uses(l.Weight) == 0 {
			continue
		}
		f, err := findForm(l, links)
		if err != nil {
			errs = append(errs, fmt.Errorf("layer %q: the record has it %s, but %w; convert the CNN again",
				l.Node, l.Layout, err))
			continue
		}
		c := &localChain{l, f}
		for _, n := range f.Nodes {
			chains[n] = c
		}
	}
	return chains, errors.Join(errs...)
}

// findForm finds the nodes of a layer by its weights.
func findForm(l *record.Layer, links *onnxio.Links) (*engine.LocalForm, error) {
	product := links.SoleReader(l.Weight)
	if product == nil || product.OpType != "MatMul" || product.Input(0) != l.Weight {
		return nil, fmt.Errorf("its weights %q are not those of one MatMul", l.Weight)
	}
	f, err := engine.LocalFormAround(product, links, func(name string) bool { return name == l.Bias })
	switch {
	case err != nil:
		return nil, err
	case f.Index != l.Index:
		return nil, fmt.Errorf("its Gather is by %q; want %q", f.Index, l.Index)
	case f.Biased != (l.Bias != ""):
		return nil, fmt.Errorf("its bias %q is not added to it", l.Bias)
	}
	return f, nil
}

// local is a locally connected layer; its inputs are x, the weights and, if
// there is one, the bias, a value for each output.
type local[T kernel.Float] struct {
	*kernel.LocalLayer[T]
	rows, out int
	geometry  kernel.Local // with its table
}

func (l *local[T]) forward(in [][]T, y []T) {
	var bias []T
	if len(in) > 2 {
		bias = in[2]
	}
	l.Forward(in[0], in[1], bias, y)
}

// needs no input: the kernel has a copy in an order of its own.
func (*local[T]) needs() needs { return needs{} }

func (l *local[T]) backward(p pass[T]) {
	l.LoadGradient(p.dout)
	if p.din[0] != nil {
		l.BackwardInput(p.in[1], p.din[0])
	}
	p.ready()
	if p.din[1] != nil {
		l.BackwardWeights(1, 0, p.din[1])
	}
	if len(p.din) > 2 && p.din[2] != nil {
		kernel.SumRows(l.rows, p.dout, p.din[2])
	}
}

func (l *local[T]) fuses(i int) (fuses, inParts bool) { return i == 1, false }

func (l *local[T]) update(p pass[T], _ int, rate, keep T) {
	l.BackwardWeights(-rate, keep, p.in[1])
}

// localKernel returns the sizes and the index table of a layer. Where the record
// holds its geometry, the table has to be that of the geometry; a product and a
// Resize have none, and what their weights and table say is taken.
func (t *trainee[T]) localKernel(l *record.Layer) (kernel.Local, error) {
	m, err := l.Support()
	if err != nil {
		return kernel.Local{}, err
	}
	weight, index := t.initializers[l.Weight], t.initializers[l.Index]
	if weight == nil || index == nil || len(weight.Dims) != 4 {
		return kernel.Local{}, fmt.Errorf("weights %q [group, position, channel, slot] and index table %q: "+
			"want initializers", l.Weight, l.Index)
	}
	dims := weight.Dims
	table, err := onnxio.Ints(index)
	if err != nil {
		return kernel.Local{}, err
	}
	inputs := int64(1)
	for _, d := range l.InputShape {
		inputs *= d
	}
	switch {
	case m != nil:
		dims, _ = m.LocalDims()
		if inputs = int64(m.Cols()); !slices.Equal(table, m.LocalTable()) {
			return kernel.Local{}, fmt.Errorf("index table %q is not that of the geometry in the record", l.Index)
		}
	case dims[0] < 1 || inputs%dims[0] != 0:
		return kernel.Local{}, fmt.Errorf("weights %q: %d groups do not divide %d inputs", l.Weight, dims[0], inputs)
	}
	k := kernel.Local{
		Groups: int(dims[0]), Block: int(inputs / dims[0]), Positions: int(dims[1]), Out: int(dims[2]),
		Slots: int(dims[3]), Table: make([]int32, len(table)),
	}
	for i, v := range table {
		if v < 0 || v > int64(k.Block) {
			return kernel.Local{}, fmt.Errorf("index table %q: %d is no input of %d", l.Index, v, k.Block)
		}
		k.Table[i] = int32(v)
	}
	if len(k.Table) != k.Positions*k.Slots {
		return kernel.Local{}, fmt.Errorf("index table %q has %d entries, want %d positions of %d", l.Index, len(k.Table),
			k.Positions, k.Slots)
	}
	return k, nil
}

// gradient makes all of it: weights in local form are few.
func (l *local[T]) gradient(p pass[T], _ int, visit func(at int, part []T)) {
	g := make([]T, len(p.in[1]))
	l.BackwardWeights(1, 0, g)
	visit(0, g)
}

// emitLocal emits the layer in place of its nodes.
func emitLocal[T kernel.Float](b *builder[T], c *localChain) error {
	l, x, weights, err := localOf(b, c)
	if err != nil {
		return err
	}
	last := &node[T]{c.Nodes[len(c.Nodes)-1], b.t.model.Opset(""), b}
	return last.emit(l, []int{l.out}, []value{x}, weights...)
}

// localOf returns the layer of a local form, what it reads, its weights and, if it has
// one, its bias.
func localOf[T kernel.Float](b *builder[T], c *localChain) (*local[T], value, []*parameter[T], error) {
	first, last := &node[T]{c.Nodes[0], b.t.model.Opset(""), b}, &node[T]{c.Nodes[len(c.Nodes)-1], b.t.model.Opset(""), b}
	product := &node[T]{c.Weight, b.t.model.Opset(""), b}
	x, err := first.activation(0)
	if err != nil {
		return nil, x, nil, err
	}
	k, err := b.t.localKernel(c.record)
	if err != nil {
		return nil, x, nil, product.Wrap(err)
	}
	if x.size() != k.Groups*k.Block {
		return nil, x, nil, first.Errorf("the input has %d elements a sample; the record says %d", x.size(),
			k.Groups*k.Block)
	}
	kl, err := kernel.NewLocalLayer[T](k, b.a.net.batch)
	if err != nil {
		return nil, x, nil, product.Wrap(err)
	}
	weights, err := product.parameter(0, k.Groups, k.Positions, k.Out, k.Slots)
	if err != nil {
		return nil, x, nil, err
	}
	if err := checkPadding(k, weights.values); err != nil {
		return nil, x, nil, product.Wrap(err)
	}
	l := &local[T]{kl, b.a.net.batch, k.Groups * k.Out * k.Positions, k}
	if !c.Biased {
		return l, x, []*parameter[T]{weights}, nil
	}
	bias, err := last.parameter(1, l.out)
	return l, x, []*parameter[T]{weights, bias}, err
}

// inPadding reports whether weight i of a layer reads a zero.
func inPadding(k kernel.Local, i int) bool {
	position := i / k.Slots / k.Out % k.Positions
	return int(k.Table[position*k.Slots+i%k.Slots]) == k.Block
}

// checkPadding makes sure that slots which read a zero hold one: it would move
// with weight decay otherwise.
func checkPadding[T kernel.Float](k kernel.Local, w []T) error {
	for i, v := range w {
		if v != 0 && inPadding(k, i) {
			return fmt.Errorf("weight %d lies in padding and is %g; want 0", i, v)
		}
	}
	return nil
}
