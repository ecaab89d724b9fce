package convert

import (
	"slices"

	"efcn/convert/affine"
	"efcn/onnxio"
)

func init() {
	register("Concat", operator{
		becomes: "itself, on vectors, with a Gather behind it where the joined axis is not the first after the batch",
		plan:    planConcat, notNegative: allNotNegative,
	})
}

// allNotNegative reports whether no input of a node can be negative.
func allNotNegative(pl *planner, n *onnxio.Node) bool {
	negative := func(name string) bool { return !pl.notNegative(name) }
	return !slices.ContainsFunc(n.Inputs, negative)
}

// planConcat plans the joining of tensors along an axis other than the batch.
// https://onnx.ai/onnx/operators/onnx__Concat.html, versions 4 to 13.
func planConcat(pl *planner, n *onnxio.Node) ([]*piece, error) {
	out, err := pl.vector(n.Output(0))
	if err != nil {
		return nil, err
	}
	at, err := n.Int("axis", 1)
	if err != nil {
		return nil, err
	}
	axis, err := innerAxis(at, out.dims)
	if err != nil {
		return nil, err
	}
	// The vectors are joined one behind the other; where the tensors are not,
	// each index of the outer axes takes its run from every vector in turn.
	outer := affine.Size(out.dims[:axis])
	runs := make([]int, len(n.Inputs))
	for i, name := range n.Inputs {
		if pl.consts[name] != nil {
			return nil, keep("it joins the constant %q", name)
		}
		in, err := pl.vector(name)
		if err != nil {
			return nil, err
		}
		runs[i] = in.size() / max(outer, 1)
	}
	from := make([]int64, 0, out.size())
	for o := range outer {
		start := 0
		for _, run := range runs {
			for i := range run {
				from = append(from, int64(start+o*run+i))
			}
			start += outer * run
		}
	}
	if isRange(from) {
		from = nil
	}
	return []*piece{{node: n, reads: n.Inputs, writes: n.Outputs, form: joined{from}}}, nil
}

// joined is a Concat of vectors, with a Gather behind it that puts the elements in
// their places; nil where they are.
type joined struct{ from []int64 }

func (f joined) build(b *builder, p *piece) {
	inputs := make([]string, len(p.node.Inputs))
	for i, name := range p.node.Inputs {
		inputs[i] = b.vec(name)
	}
	output := p.writes[0]
	concat := on(p.node, inputs, nil)
	concat.Attributes = []*onnxio.Attribute{onnxio.IntAttr("axis", 1)}
	b.Node(concat)
	if f.from == nil {
		concat.Outputs = []string{b.newVec(output)}
		return
	}
	concat.Outputs = []string{b.Names.Free(output + "/joined")}
	b.Declare(concat.Outputs[0], b.vectorType(output))
	index := b.Tensor(onnxio.NewTensor(output+".index", []int64{int64(len(f.from))}, f.from))
	b.Node(&onnxio.Node{
		Name: b.Names.Free(output + "/gather"), OpType: "Gather",
		Inputs: []string{concat.Outputs[0], index}, Outputs: []string{b.newVec(output)},
		Attributes: []*onnxio.Attribute{onnxio.IntAttr("axis", 1)},
	})
}

func (f joined) weigh(s *sizes, p *piece) {
	s.other += 8 * int64(len(f.from))
	s.vec(p.writes[0])
}
