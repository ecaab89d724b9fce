package finetune

import (
	"errors"
	"fmt"
	"slices"

	"efcn/convert"
	"efcn/internal/kernel"
	"efcn/onnxio"
)

// localChain is a layer in local form: the nodes that convert writes for it,
// which are trained as one.
type localChain struct {
	record *convert.LayerRecord
	nodes  []*onnxio.Node // from the Reshape to the node that computes the layer's output
	weight *onnxio.Node   // the MatMul
	biased bool           // the last node adds the bias
}

// localChains finds the local layers of a record among nodes: Reshape →
// Transpose → [Pad] → Gather → MatMul → Transpose → Flatten → [Add]. It returns
// for every node of theirs which layer it is part of. Nodes of a layer that are
// not as convert writes them are an error.
func localChains(nodes []*onnxio.Node, record *convert.Record) (map[*onnxio.Node]*localChain, error) {
	if record == nil {
		return nil, nil
	}
	makes, readers := map[string]*onnxio.Node{}, map[string]int{}
	for _, n := range nodes {
		for _, out := range n.Outputs {
			makes[out] = n
		}
		for _, in := range n.Inputs {
			readers[in]++
		}
	}
	chains := map[*onnxio.Node]*localChain{}
	var errs []error
	for i := range record.Layers {
		l := &record.Layers[i]
		if l.Layout != convert.Local || !slices.ContainsFunc(nodes, func(n *onnxio.Node) bool { return slices.Contains(n.Inputs, l.Weight) }) {
			continue
		}
		c, err := findChain(l, nodes, makes, readers)
		if err != nil {
			errs = append(errs, fmt.Errorf("layer %q: the record has it local, but %w; convert the CNN again", l.Node, err))
			continue
		}
		for _, n := range c.nodes {
			chains[n] = c
		}
	}
	return chains, errors.Join(errs...)
}

// findChain walks from the last node of a layer to its first.
func findChain(l *convert.LayerRecord, nodes []*onnxio.Node, makes map[string]*onnxio.Node, readers map[string]int) (*localChain, error) {
	c := &localChain{record: l, biased: l.Bias != ""}
	var at *onnxio.Node
	for _, n := range nodes {
		if last := map[bool]string{true: "Add", false: "Flatten"}[c.biased]; n.OpType == last && (!c.biased || n.Input(1) == l.Bias) && chainWeight(n, makes) == l.Weight {
			at = n
		}
	}
	if at == nil {
		return nil, fmt.Errorf("weights %q have no such chain of nodes", l.Weight)
	}
	for at != nil {
		c.nodes = append(c.nodes, at)
		if at.OpType == "MatMul" {
			c.weight = at
		}
		if at.OpType == "Reshape" {
			slices.Reverse(c.nodes)
			return c, c.check(l)
		}
		from := at.Input(chainInput(at))
		if readers[from] != 1 {
			return nil, fmt.Errorf("%q is read elsewhere", from)
		}
		at = makes[from]
	}
	return nil, errors.New("nodes are missing")
}

// chainInput is the input of a node of the chain that the one before computes.
func chainInput(n *onnxio.Node) int {
	if n.OpType == "MatMul" {
		return 1
	}
	return 0
}

// chainWeight follows the chain back from its last node to the MatMul and
// returns the name of the weights there.
func chainWeight(n *onnxio.Node, makes map[string]*onnxio.Node) string {
	for range 4 {
		if n == nil {
			return ""
		}
		if n.OpType == "MatMul" {
			return n.Input(0)
		}
		n = makes[n.Input(0)]
	}
	return ""
}

// check compares the nodes, in order, with what convert writes.
func (c *localChain) check(l *convert.LayerRecord) error {
	want := []string{"Reshape", "Transpose", "Gather", "MatMul", "Transpose", "Flatten"}
	if len(c.nodes) > 2 && c.nodes[2].OpType == "Pad" {
		want = slices.Insert(want, 2, "Pad")
	}
	if c.biased {
		want = append(want, "Add")
	}
	var have []string
	var perms [][]int64
	for _, n := range c.nodes {
		have = append(have, n.OpType)
		switch n.OpType {
		case "Transpose":
			perm, err := n.Ints("perm")
			if err != nil {
				return err
			}
			perms = append(perms, perm)
		case "Gather":
			axis, err := n.Int("axis", 0)
			if err != nil {
				return err
			}
			if axis != 1 || n.Input(1) != l.Index {
				return fmt.Errorf("its Gather is along axis %d by %q; want axis 1 by %q", axis, n.Input(1), l.Index)
			}
		case "Flatten":
			axis, err := n.Int("axis", 1)
			if err != nil {
				return err
			}
			if axis != 1 {
				return fmt.Errorf("its Flatten is at axis %d; want 1", axis)
			}
		}
	}
	if !slices.Equal(have, want) {
		return fmt.Errorf("its nodes are %q; want %q", have, want)
	}
	if !slices.Equal(perms[0], []int64{1, 2, 0}) || !slices.Equal(perms[1], []int64{3, 0, 2, 1}) {
		return fmt.Errorf("its Transposes have the perms %v; want [1 2 0] and [3 0 2 1]", perms)
	}
	return nil
}

// local is a locally connected layer; its inputs are x, the weights and, if
// there is one, the bias, a value for each output.
type local[T kernel.Float] struct {
	*kernel.LocalLayer[T]
	rows, out int
}

func (l *local[T]) forward(in [][]T, y []T) {
	l.Forward(in[0], in[1], y)
	if len(in) > 2 {
		kernel.AddRows(l.rows, in[2], y)
	}
}

// backward takes the gradient at the weights first: that at the input makes use
// of what forward kept. A fused update of the weights comes after both, so it
// has to be told what the layer saw again.
func (l *local[T]) backward(p pass[T]) {
	l.LoadGradient(p.dout)
	if p.din[1] != nil {
		l.BackwardWeights(1, 0, p.din[1])
	}
	if p.din[0] != nil {
		l.BackwardInput(p.in[1], p.din[0])
	}
	if len(p.din) > 2 && p.din[2] != nil {
		kernel.SumRows(l.rows, p.dout, p.din[2])
	}
}

func (l *local[T]) fuses(i int) bool { return i == 1 }

func (l *local[T]) update(p pass[T], _ int, rate, keep T) {
	if p.din[0] != nil {
		l.Load(p.in[0])
	}
	l.BackwardWeights(-rate, keep, p.in[1])
}

// localKernel returns the sizes and the index table of a layer. Where the record
// holds its geometry, the table has to be that of the geometry; a product has none,
// and what its weights and table say is taken.
func (t *trainee[T]) localKernel(l *convert.LayerRecord) (kernel.Local, error) {
	m, err := l.Support()
	if err != nil {
		return kernel.Local{}, err
	}
	weight, index := t.initializers[l.Weight], t.initializers[l.Index]
	if weight == nil || index == nil || len(weight.Dims) != 4 {
		return kernel.Local{}, fmt.Errorf("weights %q [group, position, channel, slot] and index table %q: want initializers", l.Weight, l.Index)
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
	case len(l.Factors) == 0:
		return kernel.Local{}, fmt.Errorf("the record does not hold the geometry of %s", l.Op)
	case dims[0] < 1 || inputs%dims[0] != 0:
		return kernel.Local{}, fmt.Errorf("weights %q: %d groups do not divide %d inputs", l.Weight, dims[0], inputs)
	}
	k := kernel.Local{
		Groups: int(dims[0]), Block: int(inputs / dims[0]), Positions: int(dims[1]), Out: int(dims[2]), Slots: int(dims[3]), Table: make([]int32, len(table)),
	}
	for i, v := range table {
		if v < 0 || v > int64(k.Block) {
			return kernel.Local{}, fmt.Errorf("index table %q: %d is no input of %d", l.Index, v, k.Block)
		}
		k.Table[i] = int32(v)
	}
	if len(k.Table) != k.Positions*k.Slots {
		return kernel.Local{}, fmt.Errorf("index table %q has %d entries, want %d positions of %d", l.Index, len(k.Table), k.Positions, k.Slots)
	}
	return k, nil
}

// gradient makes all of it: weights in local form are few.
func (l *local[T]) gradient(p pass[T], _ int, visit func(at int, part []T)) {
	if p.din[0] != nil {
		l.Load(p.in[0])
	}
	g := make([]T, len(p.in[1]))
	l.BackwardWeights(1, 0, g)
	visit(0, g)
}

// emitLocal emits the layer in place of its nodes.
func emitLocal[T kernel.Float](b *builder[T], c *localChain) error {
	first, last := &node[T]{c.nodes[0], b.t.model.Opset(""), b}, &node[T]{c.nodes[len(c.nodes)-1], b.t.model.Opset(""), b}
	product := &node[T]{c.weight, b.t.model.Opset(""), b}
	x, err := first.activation(0)
	if err != nil {
		return err
	}
	k, err := b.t.localKernel(c.record)
	if err != nil {
		return product.Wrap(err)
	}
	if x.size() != k.Groups*k.Block {
		return first.Errorf("the input has %d elements a sample; the record says %d", x.size(), k.Groups*k.Block)
	}
	kl, err := kernel.NewLocalLayer[T](k, b.a.net.batch)
	if err != nil {
		return product.Wrap(err)
	}
	weights, err := product.parameter(0, k.Groups, k.Positions, k.Out, k.Slots)
	if err != nil {
		return err
	}
	if err := checkPadding(k, weights.values); err != nil {
		return product.Wrap(err)
	}
	l := &local[T]{kl, b.a.net.batch, k.Groups * k.Out * k.Positions}
	if !c.biased {
		return last.emit(l, []int{l.out}, []value{x}, weights)
	}
	bias, err := last.parameter(1, l.out)
	if err != nil {
		return err
	}
	return last.emit(l, []int{l.out}, []value{x}, weights, bias)
}

// inPadding says whether weight i of a layer reads a zero.
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
