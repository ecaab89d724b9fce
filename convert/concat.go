package convert

import (
	"efcn/convert/affine"
	"efcn/onnxio"
)

func init() {
	register("Concat", operator{becomes: "itself, on vectors, with a Gather behind it where the joined axis is not the first after the batch", plan: planConcat})
}

// planConcat plans the joining of tensors along an axis other than the batch.
// https://onnx.ai/onnx/operators/onnx__Concat.html, versions 4 to 13.
func planConcat(pl *planner, n *onnxio.Node) (step, error) {
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
	return func(b *builder) error {
		inputs := make([]string, len(n.Inputs))
		for i, name := range n.Inputs {
			inputs[i] = b.vec(name)
		}
		joined := on(n, inputs, nil)
		joined.Attributes = []*onnxio.Attribute{onnxio.IntAttr("axis", 1)}
		b.node(joined)
		if isRange(from) {
			joined.Outputs = []string{b.newVec(n.Output(0))}
			return nil
		}
		joined.Outputs = []string{b.unique(n.Output(0) + "/joined")}
		b.declare(joined.Outputs[0], b.vectorType(n.Output(0)))
		index := b.tensor(onnxio.NewTensor(n.Output(0)+".index", []int64{int64(len(from))}, from))
		b.node(&onnxio.Node{
			Name: b.unique(n.Output(0) + "/gather"), OpType: "Gather",
			Inputs: []string{joined.Outputs[0], index}, Outputs: []string{b.newVec(n.Output(0))},
			Attributes: []*onnxio.Attribute{onnxio.IntAttr("axis", 1)},
		})
		return nil
	}, nil
}
