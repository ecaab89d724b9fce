package engine

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"efcn/internal/kernel"
	"efcn/onnxio"
)

// LocalForm is a locally connected layer as efcn convert writes it: Reshape →
// Transpose → [Pad] → Gather → MatMul → Transpose → Flatten → [Add]. The engine
// runs it as one kernel, unless it is observed, and finetune trains it as one.
type LocalForm struct {
	Nodes  []*onnxio.Node // in order
	Weight *onnxio.Node   // the MatMul; its first input is the weights
	Index  string         // the table of inputs that each position sees
	Biased bool           // the last node adds the bias, its second input
}

// only returns the node that reads a value, an error if anything else does.
func only(links *onnxio.Links, name string) (*onnxio.Node, error) {
	n := links.SoleReader(name)
	switch uses := links.Uses(name); {
	case uses == 0:
		return nil, errors.New("nodes are missing")
	case uses > 1 || n == nil:
		return nil, fmt.Errorf("%q is read elsewhere", name)
	default:
		return n, nil
	}
}

// LocalFormAround finds the layer whose product a MatMul is, and says what is
// unlike what convert writes. isBias tells whether an Add of a value is the
// layer's bias.
func LocalFormAround(product *onnxio.Node, links *onnxio.Links, isBias func(name string) bool) (*LocalForm, error) {
	f := &LocalForm{Weight: product, Nodes: []*onnxio.Node{product}}
	for n, input := product, 1; n.OpType != "Reshape"; input = 0 {
		from := n.Input(input)
		if _, err := only(links, from); err != nil {
			return nil, err
		}
		if n = links.Producer(from); n == nil {
			return nil, errors.New("nodes are missing")
		}
		f.Nodes = append(f.Nodes, n)
	}
	slices.Reverse(f.Nodes)
	last := product
	for last.OpType != "Flatten" {
		next, err := only(links, last.Output(0))
		if err != nil {
			return nil, err
		}
		if f.Nodes, last = append(f.Nodes, next), next; len(f.Nodes) > 8 {
			return nil, errors.New("nodes are missing")
		}
	}
	if add, err := only(links, last.Output(0)); err == nil && add.OpType == "Add" && add.Input(0) == last.Output(0) &&
		isBias(add.Input(1)) {
		f.Nodes, f.Biased = append(f.Nodes, add), true
	}
	return f, f.check()
}

// check compares the nodes with what convert writes.
func (f *LocalForm) check() error {
	want := []string{"Reshape", "Transpose", "Gather", "MatMul", "Transpose", "Flatten"}
	if f.pad() != nil {
		want = slices.Insert(want, 2, "Pad")
	}
	if f.Biased {
		want = append(want, "Add")
	}
	var have []string
	var perms [][]int64
	for _, n := range f.Nodes {
		have = append(have, n.OpType)
		if onnxio.CanonicalDomain(n.Domain) != "" {
			return fmt.Errorf("its %s is of the domain %q", n.OpType, n.Domain)
		}
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
			if axis != 1 {
				return fmt.Errorf("its Gather is along axis %d; want 1", axis)
			}
			f.Index = n.Input(1)
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

// pad returns the node that puts a zero behind each group, if there is one.
func (f *LocalForm) pad() *onnxio.Node {
	if len(f.Nodes) > 2 && f.Nodes[2].OpType == "Pad" {
		return f.Nodes[2]
	}
	return nil
}

// localStep is a LocalForm in a program, without the Reshape, which costs
// nothing.
type localStep[T kernel.Float] struct {
	steps                  []int // of its nodes
	x, weight, index, bias int   // numbers of values; -1 without a bias
	padded                 bool
	pads                   func(f *frame[T]) bool // whether the Pad is what it should be

	layers sync.Pool // of *localLayer[T]
}

// localLayer is a kernel prepared for a table and a batch.
type localLayer[T kernel.Float] struct {
	index            *Tensor[T]
	n, groups, block int
	*kernel.LocalLayer[T]
}

// localSteps finds the layers in local form whose values between nodes nothing
// else needs.
func (p *program[T]) localSteps() []*localStep[T] {
	if !slices.ContainsFunc(p.steps, func(s *step[T]) bool { return s.node.OpType == "MatMul" }) {
		return nil
	}
	constants := map[string]bool{}
	for _, c := range p.constants {
		constants[c.name] = true
	}
	nodes, at := make([]*onnxio.Node, len(p.steps)), map[*onnxio.Node]int{}
	for k, s := range p.steps {
		nodes[k], at[s.node] = s.node, k
	}
	links := onnxio.NewLinks(nodes, p.outputs...)
	var found []*localStep[T]
	for _, n := range nodes {
		if n.OpType != "MatMul" {
			continue
		}
		f, err := LocalFormAround(n, links, func(name string) bool { return constants[name] })
		if err != nil || !constants[n.Input(0)] || !constants[f.Index] {
			continue
		}
		c := &localStep[T]{bias: -1, padded: f.pad() != nil}
		for _, n := range f.Nodes[1:] {
			c.steps = append(c.steps, at[n])
		}
		c.x = p.steps[c.steps[0]].in[0]
		product := p.steps[at[n]]
		c.weight = product.in[0]
		gather := p.steps[at[links.Producer(n.Input(1))]]
		c.index = gather.in[1]
		if f.Biased {
			c.bias = p.steps[c.steps[len(c.steps)-1]].in[1]
		}
		if c.padded {
			c.pads = p.zeroBehind(p.steps[c.steps[1]])
		}
		found = append(found, c)
	}
	return found
}

// zeroBehind returns what tells whether a Pad, of three axes, puts one zero
// behind the second: before version 11 by attributes.
func (p *program[T]) zeroBehind(s *step[T]) func(f *frame[T]) bool {
	want := []int64{0, 0, 0, 0, 1, 0}
	if mode, err := s.node.String("mode", "constant"); err != nil || mode != "constant" {
		return func(*frame[T]) bool { return false }
	}
	if len(s.node.Inputs) == 1 {
		pads, err := s.node.Ints("pads")
		value, err2 := s.node.Float("value", 0)
		right := err == nil && err2 == nil && value == 0 && slices.Equal(pads, want)
		return func(*frame[T]) bool { return right }
	}
	return func(f *frame[T]) bool {
		in, err := f.inputs(s, s.in[0])
		if err != nil || in[1] == nil || in[3] != nil {
			return false
		}
		value := in[2]
		return slices.Equal(in[1].I, want) && (value == nil || len(value.F) == 1 && value.F[0] == 0)
	}
}

// local does the nodes of a layer at once and reports whether it could: what is
// out of the ordinary, errors as well, is left to the nodes.
func (f *frame[T]) local(c *localStep[T]) (bool, error) {
	if err := f.x.ctx.Err(); err != nil {
		return false, err
	}
	if c.padded && !c.pads(f) {
		return false, nil
	}
	var x, w, index, bias *Tensor[T]
	for _, v := range []struct {
		at  int
		val **Tensor[T]
	}{{c.x, &x}, {c.weight, &w}, {c.index, &index}, {c.bias, &bias}} {
		if v.at < 0 {
			continue
		}
		var err error
		if *v.val, err = f.value(v.at); err != nil {
			return false, nil
		}
	}
	if len(x.Shape) != 3 || len(w.Shape) != 4 || len(index.Shape) != 2 || !x.Type.IsFloat() || w.Type != x.Type {
		return false, nil
	}
	n, k := x.Shape[0], kernel.Local{
		Groups: w.Shape[0], Block: x.Shape[2], Positions: w.Shape[1], Out: w.Shape[2],
		Slots: w.Shape[3],
	}
	size := k.Groups * k.Out * k.Positions
	if n == 0 || x.Shape[1] != k.Groups || index.Shape[0] != k.Positions || index.Shape[1] != k.Slots || size == 0 ||
		k.Slots == 0 {
		return false, nil
	}
	var add []T
	if bias != nil {
		if bias.Type != x.Type || !slices.Equal(bias.Shape, []int{size}) {
			return false, nil
		}
		add = bias.F
	}
	layer, ok := c.layer(k, n, index)
	if !ok {
		return false, nil
	}
	defer c.layers.Put(layer)
	last := f.steps[c.steps[len(c.steps)-1]]
	y, err := f.x.fresh(x.Type, []int{n, size})
	if err != nil {
		return false, last.node.Wrap(err)
	}
	layer.Forward(x.F, w.F, add, y.F)
	if err := f.store(last, []*Tensor[T]{y}); err != nil {
		return false, err
	}
	for _, k := range c.steps {
		f.release(f.steps[k])
	}
	f.x.memory.settle()
	return true, nil
}

// layer returns a kernel for the geometry k of a table and a batch of n: one
// that an earlier run has left, or a new one.
func (c *localStep[T]) layer(k kernel.Local, n int, index *Tensor[T]) (*localLayer[T], bool) {
	if l, ok := c.layers.Get().(*localLayer[T]); ok && l.index == index && l.n == n && l.groups == k.Groups &&
		l.block == k.Block {
		return l, true
	}
	behind := k.Block - 1
	if c.padded {
		behind = k.Block
	}
	k.Table = make([]int32, len(index.I))
	for i, q := range index.I {
		if q < 0 || q > int64(behind) {
			return nil, false
		}
		k.Table[i] = int32(q)
	}
	layer, err := kernel.NewLocalLayer[T](k, n)
	if err != nil {
		return nil, false
	}
	return &localLayer[T]{index: index, n: n, groups: k.Groups, block: k.Block, LocalLayer: layer}, true
}
