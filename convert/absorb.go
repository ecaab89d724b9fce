package convert

import (
	"math"
	"slices"

	"efcn/convert/affine"
	"efcn/onnxio"
	"efcn/onnxio/shape"
)

// Absorbed is a Pad that became the padding of the operator behind it.
type Absorbed struct {
	Pad  string `json:"pad"`  // label of the Pad
	Node string `json:"node"` // that of the operator
}

// AbsorbPads returns m with the padding of Pad nodes as that of the operators behind
// them, and says which Pads those are. It returns m itself where there are none, and
// never modifies it. Constants of m are folded already, and info are its shapes.
//
// A Pad, or a chain of them, is absorbed where that is exact: the value after it is
// read by that one operator (by Shape besides) and is no output of the graph, it
// pads spatial axes alone, by constants, and the operator is
//
//  1. a Conv, padded by 0;
//  2. an AveragePool, padded by 0, that counts padding from then on: it has none of
//     its own so far or counts that too, and no window reaches past the padding
//     (which ceil_mode allows);
//  3. a MaxPool whose indices nobody reads, padded by −Inf, or by 0 or less where
//     its input cannot be negative, if every window sees an element of the input:
//     the padding of a MaxPool is −Inf.
//
// Padding of a pooling stays below its kernel, as runtimes want it. A negative pad
// cuts; where it cuts no more than what a Pad before it has padded, the difference
// is absorbed, else the Pad stays: operators have no negative padding.
//
// The operator has its padding in the attribute pads, whatever auto_pad said. What a
// Conv or pooling reads and computes is unchanged otherwise.
// https://onnx.ai/onnx/operators/onnx__Pad.html, versions 2 to 25.
func AbsorbPads(m *onnxio.Model, info *shape.Info) (*onnxio.Model, []Absorbed) {
	pl := newPlanner(m, info, Options{})
	var absorbed []Absorbed
	operators, padded := make(map[int]*onnxio.Node), make(map[string]bool)
	for i, n := range m.Graph.Nodes {
		if slices.ContainsFunc(n.Attributes, func(a *onnxio.Attribute) bool { return a.G != nil || a.Graphs != nil }) {
			return m, nil // a subgraph may read any value
		}
		operator, pads := pl.withPadding(n)
		if operator == nil {
			continue
		}
		operators[i] = operator
		for _, p := range slices.Backward(pads) {
			absorbed = append(absorbed, Absorbed{Pad: p.node.Label(), Node: n.Label()})
			padded[p.node.Output(0)] = true
		}
	}
	if len(operators) == 0 {
		return m, nil
	}
	out := m.Clone()
	for i, n := range operators {
		out.Graph.Nodes[i] = n
	}
	dropUnread(out.Graph, padded)
	return out, absorbed
}

// dropUnread drops the nodes that compute these values, where nothing reads them
// any more. None of them is an output of the graph.
func dropUnread(g *onnxio.Graph, values map[string]bool) {
	read := make(map[string]bool)
	gone := make(map[string]bool)
	var nodes []*onnxio.Node
	for _, n := range slices.Backward(g.Nodes) {
		if values[n.Output(0)] && !read[n.Output(0)] {
			gone[n.Output(0)] = true
			continue
		}
		for _, name := range n.Inputs {
			read[name] = true
		}
		nodes = append(nodes, n)
	}
	slices.Reverse(nodes)
	g.Nodes = nodes
	g.ValueInfos = slices.DeleteFunc(g.ValueInfos, func(v *onnxio.ValueInfo) bool { return gone[v.Name] })
}

// padding is what a Pad of constants does to each axis of its input.
type padding struct {
	node       *onnxio.Node
	begin, end []int64 // by axis, with the batch axis
	fill       float32
}

// withPadding returns an operator that has the padding of the Pads in front of it
// for its own, and those Pads, the last applied first; nil where there are none, or
// where it would be another function.
func (pl *planner) withPadding(n *onnxio.Node) (*onnxio.Node, []padding) {
	op, _ := operatorOf(n)
	if op.absorb == nil {
		return nil, nil
	}
	var (
		chain    []padding
		operator *onnxio.Node
		absorbed int
	)
	for at, reader := n.Input(0), n; ; {
		p, ok := pl.padding(at, reader)
		if !ok {
			return operator, chain[:absorbed]
		}
		chain = append(chain, p)
		// Of two Pads the second may cut what the first has padded: neither is
		// absorbed without the other.
		if o := pl.padded(n, op, chain); o != nil {
			operator, absorbed = o, len(chain)
		}
		at, reader = p.node.Input(0), p.node
	}
}

// padding reads the Pad by constants that computes a value for one reader alone.
func (pl *planner) padding(name string, reader *onnxio.Node) (padding, bool) {
	p := padding{node: pl.links.Producer(name)}
	if p.node == nil || p.node.OpType != "Pad" || onnxio.CanonicalDomain(p.node.Domain) != "" ||
		pl.links.IsOutput(name) {
		return p, false
	}
	for _, user := range pl.links.Readers(name) {
		if user != reader && user.OpType != "Shape" && user.OpType != "Size" {
			return p, false
		}
	}
	if slices.Contains(reader.Inputs[1:], name) {
		return p, false
	}
	pad, err := pl.plan.info.Pad(p.node)
	if err != nil || pad.Mode != "constant" {
		return p, false
	}
	p.begin, p.end, p.fill = pad.Begin, pad.End, float32(pad.Fill)
	return p, true
}

// padded returns the operator n as it is with the padding of a chain, whose first
// Pad is the one right in front of it; nil where it would be another function.
func (pl *planner) padded(n *onnxio.Node, op operator, chain []padding) *onnxio.Node {
	first := chain[len(chain)-1]
	name := first.node.Input(0)
	in, out := pl.sizes(name), pl.sizes(n.Input(0))
	if len(in) < 3 || len(out) != len(in) || slices.Contains(in[1:], -1) {
		return nil
	}
	begin, end := make([]int64, len(in)), make([]int64, len(in))
	for _, p := range slices.Backward(chain) {
		for axis := range in {
			begin[axis] += p.begin[axis]
			end[axis] += p.end[axis]
			// Elements of the input that are cut off do not come back.
			if begin[axis] < 0 || end[axis] < 0 {
				return nil
			}
		}
	}
	if begin[0]|end[0]|begin[1]|end[1] != 0 {
		return nil
	}
	before, err := op.window(pl, n, out)
	if err != nil {
		return nil
	}
	begins, ends := slices.Clone(before.PadBegin), slices.Clone(before.PadEnd)
	for i := range begins {
		begins[i] += begin[i+2]
		ends[i] += end[i+2]
	}
	operator := withPads(n, name, slices.Concat(begins, ends))
	after, err := op.window(pl, operator, in)
	if err != nil || !slices.Equal(after.Out, before.Out) {
		return nil
	}
	if !op.absorb(pl, &absorption{operator: operator, input: name, before: before, after: after, chain: chain}) {
		return nil
	}
	return operator
}

// absorption is a node that would have the padding of a chain of Pads for its own.
type absorption struct {
	operator      *onnxio.Node // with that padding; absorb may change its attributes
	input         string       // what the first Pad reads
	before, after shape.Window // on the padded input, and of operator on the input itself
	chain         []padding
}

func convWindow(pl *planner, n *onnxio.Node, in []int64) (shape.Window, error) {
	return shape.ConvWindow(n, in, pl.sizes(n.Input(1)))
}

func poolWindow(_ *planner, n *onnxio.Node, in []int64) (shape.Window, error) {
	return shape.PoolWindow(n, in)
}

// absorbZeros is operator.absorb of a Conv.
func absorbZeros(_ *planner, a *absorption) bool { return padsWithZeros(a.chain) }

// absorbIntoAverage is operator.absorb of an AveragePool, which counts its padding then.
func absorbIntoAverage(_ *planner, a *absorption) bool {
	if !countsPadding(a.operator, a.before, a.after) || !padsWithZeros(a.chain) {
		return false
	}
	o := a.operator
	o.Attributes = slices.DeleteFunc(o.Attributes,
		func(a *onnxio.Attribute) bool { return a.Name == "count_include_pad" })
	o.Attributes = append(o.Attributes, onnxio.IntAttr("count_include_pad", 1))
	return true
}

// absorbIntoMaxPool is operator.absorb of a MaxPool.
func absorbIntoMaxPool(pl *planner, a *absorption) bool {
	return pl.neverTheMaximum(a.input, a.chain) && seesInput(a.after) && !pl.takesIndices(a.operator)
}

// withPads returns the operator n with another input 0 and with explicit pads.
func withPads(n *onnxio.Node, input string, pads []int64) *onnxio.Node {
	operator := *n
	operator.Inputs = slices.Clone(n.Inputs)
	operator.Inputs[0] = input
	operator.Attributes = slices.DeleteFunc(slices.Clone(n.Attributes), func(a *onnxio.Attribute) bool {
		return a.Name == "auto_pad" || a.Name == "pads"
	})
	operator.Attributes = append(operator.Attributes, onnxio.IntsAttr("pads", pads...))
	return &operator
}

// sizes returns the dimensions of a value, 1 for the first and −1 from the first
// that is not known on; nil where their number is not known.
func (pl *planner) sizes(name string) []int64 {
	t, ok := pl.plan.info.Type(name)
	if !ok || !t.HasShape || len(t.Shape) == 0 {
		return nil
	}
	dims := []int64{1}
	for _, d := range t.Shape[1:] {
		if !d.Known() {
			return append(dims, slices.Repeat([]int64{-1}, len(t.Shape)-len(dims))...)
		}
		dims = append(dims, d.Value)
	}
	return dims
}

func padsWithZeros(chain []padding) bool {
	return !slices.ContainsFunc(chain, func(p padding) bool { return p.fill != 0 })
}

// countsPadding reports whether an AveragePool whose input is padded is one that counts
// its own padding: before is its window on the padded input, after that of operator
// on the input itself.
func countsPadding(operator *onnxio.Node, before, after shape.Window) bool {
	include, err := operator.Int("count_include_pad", 0)
	own := func(p int64) bool { return p != 0 }
	padded := slices.ContainsFunc(before.PadBegin, own) || slices.ContainsFunc(before.PadEnd, own)
	if err != nil || include == 0 && padded {
		return false
	}
	for i, kernel := range after.Kernel {
		reach := (after.Out[i]-1)*after.Stride[i] + (kernel-1)*after.Dilation[i] + 1
		if after.PadBegin[i] >= kernel || after.PadEnd[i] >= kernel ||
			reach > after.In[i]+after.PadBegin[i]+after.PadEnd[i] {
			return false
		}
	}
	return true
}

// neverTheMaximum reports whether no element of a value is smaller than what a chain
// pads it with.
func (pl *planner) neverTheMaximum(name string, chain []padding) bool {
	return !slices.ContainsFunc(chain, func(p padding) bool {
		return !math.IsInf(float64(p.fill), -1) && (!(p.fill <= 0) || !pl.notNegative(name))
	})
}

// seesInput reports whether every window of a pooling has an element of the input, and
// less padding than its kernel.
func seesInput(w shape.Window) bool {
	ws, err := affine.Windows(w)
	if err != nil {
		return false
	}
	for _, w := range ws {
		if w.PadBegin >= w.Kernel || w.PadEnd >= w.Kernel {
			return false
		}
		for p := range w.Out {
			if w.Cells(p, false) == 0 {
				return false
			}
		}
	}
	return true
}

// takesIndices reports whether somebody reads where the maxima of a MaxPool are.
func (pl *planner) takesIndices(n *onnxio.Node) bool {
	indices := n.Output(1)
	return indices != "" && pl.links.Uses(indices) > 0
}
