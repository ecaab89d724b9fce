package verify

import (
	"fmt"
	"math"
	"slices"

	"efcn/onnxio"
)

// localNodes are the nodes of a layer in local form, recognised from its end:
//
//	x [N, G·block] → Reshape [N, G, block] → Transpose [G, block, N]
//	(→ Pad [G, block+1, N]) → Gather [G, P, S, N] → MatMul with W [G, P, O, S]
//	→ Transpose [N, G, O, P] → Flatten (→ Add bias)
//
// so that y[(g·O+o)·P+p] = Σ_s W[g,p,o,s]·x[g·block + index[p,s]] + b: row
// (g·O+o)·P+p of a matrix has W[g,p,o,s] in column g·block + index[p,s].
type localNodes struct {
	reshape, blocks, pad, gather    *onnxio.Node // nil from the first on that is not there; pad may be missing
	product, channels, flatten, add *onnxio.Node // add is nil without a bias
}

// localForm returns the nodes of the layer in local form that ends with node;
// nil if that is no such layer.
func (n *net) localForm(end *onnxio.Node) *localNodes {
	f := &localNodes{flatten: end}
	if isOp(end, "Add") {
		f.add, f.flatten = end, n.Producer(end.Input(0))
	}
	if !isOp(f.flatten, "Flatten") {
		return nil
	}
	if f.channels = n.maker(f.flatten.Input(0), "Transpose"); f.channels == nil {
		return nil
	}
	if f.product = n.maker(f.channels.Input(0), "MatMul"); f.product == nil || n.constants[f.product.Input(0)] == nil {
		return nil
	}
	if f.gather = n.maker(f.product.Input(1), "Gather"); f.gather == nil {
		return f
	}
	gathered := f.gather.Input(0)
	if f.pad = n.maker(gathered, "Pad"); f.pad != nil {
		gathered = f.pad.Input(0)
	}
	if f.blocks = n.maker(gathered, "Transpose"); f.blocks != nil {
		f.reshape = n.maker(f.blocks.Input(0), "Reshape")
	}
	return f
}

// maker returns the node that computes a value if it is of that operator, else nil.
func (n *net) maker(name, op string) *onnxio.Node {
	if node := n.Producer(name); isOp(node, op) {
		return node
	}
	return nil
}

// embeds reports whether node ends an embedded layer of whatever layout.
func (n *net) embeds(node *onnxio.Node) bool {
	return isOp(node, "Gemm") || n.localPart(node) != nil
}

// biasOf returns the constant that an embedded layer which ends with node adds;
// nil if it adds none.
func (n *net) biasOf(node *onnxio.Node) []float32 {
	i := 2
	if f := n.localPart(node); f != nil {
		if i, node = 1, f.add; node == nil {
			return nil
		}
	}
	v, _, _, err := n.floats(node, i)
	if err != nil {
		return nil
	}
	return v
}

// biasName names the bias; "" if there is none.
func (f *localNodes) biasName() string {
	if f.add == nil {
		return ""
	}
	return f.add.Input(1)
}

// gatherIndex names the index table; "" if there is no Gather.
func (f *localNodes) gatherIndex() string {
	if f.gather == nil {
		return ""
	}
	return f.gather.Input(1)
}

// localTable is the weights and index table of a layer in local form.
type localTable struct {
	groups, positions, out, slots int
	block                         int
	padded                        bool
	index                         []int32 // [position, slot]
}

// local checks a layer in local form. m is nil where the matrix is not known;
// the nodes are checked then, and the entries are not.
func (s *structure) local(f *localNodes, m *matrix, in layerInput, row *Layer) {
	t, weight := s.localNodes(f, in, row)
	if t == nil || m == nil {
		return
	}
	if t.groups*t.out*t.positions != m.rows || t.groups*t.block != m.cols {
		s.fault("node", f.product, row.Output, "weights %q %v over blocks of %d make a %d×%d matrix; want %d×%d",
			weight.Name, weight.Dims, t.block, t.groups*t.out*t.positions, t.groups*t.block, m.rows, m.cols)
		return
	}
	if s.others || !s.localIndex(f, t, m, row) {
		return
	}
	c := newLocalChecker(t, m)
	err := c.check(weight)
	s.compared += c.compared
	row.NonZeros, row.Wrong = c.support, c.wrong
	if err != nil {
		s.fault("node", f.product, row.Output, "its weights %q cannot be read: %v", weight.Name, err)
		return
	}
	for _, first := range []struct{ kind, text string }{
		{"entry", c.differs.text},
		{"padding", c.padding.text},
		{"index", c.missing.text},
		{"index", c.surplus.text},
		{"index", c.unused()},
	} {
		if first.text != "" {
			s.fault(first.kind, f.product, row.Output, "%s (%q); %d weights are wrong", first.text, weight.Name,
				c.wrong)
		}
	}
	if f.add != nil {
		s.bias(f.add, 1, m, row)
	} else if m.hasBias {
		s.fault("bias", f.product, row.Output, "the bias of the CNN's node %q is missing", row.Node)
	}
}

// localNodes checks the nodes of the local form one by one, from the last.
func (s *structure) localNodes(f *localNodes, in layerInput, row *Layer) (*localTable, *onnxio.Tensor) {
	ok := true
	fault := func(kind string, node *onnxio.Node, format string, args ...any) {
		s.fault(kind, node, row.Output, format, args...)
		ok = false
	}
	ints := func(node *onnxio.Node, name string, want ...int64) {
		if got, err := node.Ints(name); err != nil || !slices.Equal(got, want) {
			fault("attribute", node, "attribute %s: want %v, got %v", name, want, got)
		}
	}
	axis := func(node *onnxio.Node, def, want int64) {
		if got, err := node.Int("axis", def); err != nil || got != want {
			fault("attribute", node, "attribute axis: want %d, got %d", want, got)
		}
	}
	for _, node := range []*onnxio.Node{f.flatten, f.channels, f.product} {
		s.expected[node] = true
	}
	axis(f.flatten, 1, 1)
	ints(f.channels, "perm", 3, 0, 2, 1)

	if !s.gathered(f, fault, axis, ints) {
		return nil, nil
	}
	in.wire(f.reshape)
	t := &localTable{padded: f.pad != nil}

	weight := s.efcn.constants[f.product.Input(0)]
	if weight.Type != onnxio.Float32 || len(weight.Dims) != 4 || weight.Data == nil {
		fault("node", f.product, "its weights %q are %s %v; want float32 [group, position, out channel, slot]",
			weight.Name, weight.Type, weight.Dims)
		return nil, nil
	}
	t.groups, t.positions, t.out, t.slots = int(weight.Dims[0]), int(weight.Dims[1]), int(weight.Dims[2]),
		int(weight.Dims[3])
	size := in.size
	if t.groups < 1 || size%t.groups != 0 {
		fault("node", f.product, "its weights %q have %d groups; the input of the layer has %d elements", weight.Name,
			t.groups, size)
		return nil, nil
	}
	t.block = size / t.groups
	if shape, err := s.efcn.reshapeTo(f.reshape); err != nil || len(shape) != 3 || shape[0] > 0 ||
		shape[1] != int64(t.groups) || shape[2] != int64(t.block) {
		fault("attribute", f.reshape, "shape: want [0 %d %d], got %v (%v)", t.groups, t.block, shape, err)
	}
	if t.index = s.localTable(f, t, fault); !ok {
		return nil, nil
	}
	return t, weight
}

// gathered checks the nodes in front of the product, from the Gather to the Reshape, and reports
// whether they are there.
func (s *structure) gathered(f *localNodes, fault func(string, *onnxio.Node, string, ...any),
	axis func(node *onnxio.Node, def, want int64), ints func(node *onnxio.Node, name string, want ...int64),
) bool {
	if f.gather == nil {
		fault("node", f.product, "its input 1 is not what a Gather makes")
		return false
	}
	s.expected[f.gather] = true
	axis(f.gather, 0, 1)
	if f.pad != nil {
		s.expected[f.pad] = true
		s.zeroBehind(f.pad, fault)
	}
	if f.blocks == nil {
		fault("node", f.gather, "what it gathers from is not a Transpose, or that and a Pad")
		return false
	}
	s.expected[f.blocks] = true
	ints(f.blocks, "perm", 1, 2, 0)
	if f.reshape == nil {
		fault("node", f.blocks, "its input is not what a Reshape makes")
		return false
	}
	s.expected[f.reshape] = true
	return true
}

// reshapeTo returns the shape that a Reshape asks for; a first dimension of 0 or
// −1 is the batch's.
func (n *net) reshapeTo(node *onnxio.Node) ([]int64, error) {
	if zero, err := node.Int("allowzero", 0); err != nil || zero != 0 {
		return nil, fmt.Errorf("attribute allowzero: want 0, got %d", zero)
	}
	t := n.constants[node.Input(1)]
	if t == nil {
		return nil, fmt.Errorf("%q is computed at run time", node.Input(1))
	}
	return onnxio.Ints(t)
}

// zeroBehind are the pads that put one element behind each block.
var zeroBehind = []int64{0, 0, 0, 0, 1, 0}

// zeroBehind checks that a Pad puts one zero behind each block.
func (s *structure) zeroBehind(pad *onnxio.Node, fault func(string, *onnxio.Node, string, ...any)) {
	p, err := padOf(s.efcn, pad)
	if p.mode != "constant" {
		fault("attribute", pad, "attribute mode: want constant, got %q", p.mode)
	}
	if !p.puts(zeroBehind) {
		fault("attribute", pad, "pads: want %v, got %v (%v)", zeroBehind, p.pads, err)
	}
	if v, err := s.efcn.fill(pad); err != nil || math.Float32bits(v) != 0 {
		fault("padding", pad, "it pads with %s; want %s (%v)", hexOf(v), hex(0), err)
	}
}

// localTable reads the indices of the Gather of a local form, [position, slot].
func (s *structure) localTable(f *localNodes, t *localTable, fault func(string, *onnxio.Node, string, ...any)) []int32 {
	index := s.efcn.constants[f.gatherIndex()]
	switch {
	case index == nil:
		fault("index", f.product, "its indices %q are no constant", f.gatherIndex())
		return nil
	case index.Type != onnxio.Int64 || index.Data == nil ||
		!slices.Equal(index.Dims, []int64{int64(t.positions), int64(t.slots)}):
		fault("index", f.product, "its indices %q are %s %v; want int64 [%d %d]", index.Name, index.Type, index.Dims,
			t.positions, t.slots)
		return nil
	}
	end := t.block
	if t.padded {
		end++
	}
	list, err := int32sBelow(index, int64(end))
	if err != nil {
		at := len(list)
		fault("index", f.product, "index of position %d, slot %d (%q): %v", at/max(t.slots, 1), at%max(t.slots, 1),
			index.Name, err)
		return nil
	}
	return list
}

// int32sBelow returns the elements of an integer tensor, of which each is 0 ≤ i < end;
// with an error those before it.
func int32sBelow(t *onnxio.Tensor, end int64) ([]int32, error) {
	list := make([]int32, 0, t.Data.Len()/t.Type.Size())
	for block, err := range onnxio.IntBlocks(t, 1<<12) {
		if err != nil {
			return list, err
		}
		for _, v := range block {
			if v < 0 || v >= end || v > math.MaxInt32 {
				return list, fmt.Errorf("%d is not one of the %d elements of a block", v, end)
			}
			list = append(list, int32(v))
		}
	}
	return list, nil
}

// localIndex checks that no position names an input twice.
func (s *structure) localIndex(f *localNodes, t *localTable, m *matrix, row *Layer) bool {
	named := make([]int32, t.block+1) // by input: the position that named it last, plus 1
	for p := range t.positions {
		for slot, q := range t.index[p*t.slots : (p+1)*t.slots] {
			if int(q) == t.block {
				continue
			}
			if named[q] == int32(p)+1 {
				row.Wrong++
				s.fault("index", f.product, row.Output,
					"position %v, slot %d reads element %d of a block, "+
						"which an earlier slot of the position reads already (%q)",
					t.position(p, m), slot, q, f.gatherIndex())
				return false
			}
			named[q] = int32(p) + 1
		}
	}
	return true
}

// position writes a position with its axes if the layer's output has them.
func (t *localTable) position(p int, m *matrix) []int {
	if len(m.outShape) > 1 && product(m.outShape[1:]) == t.positions {
		return unravel(p, m.outShape[1:])
	}
	return []int{p}
}
