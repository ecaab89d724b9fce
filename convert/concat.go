package convert

import "efcn/onnxio"

func init() {
	register("Concat", operator{becomes: "itself, on vectors, where the joined axis is the first after the batch", plan: planConcat})
}

// planConcat plans a Concat of channels: the vectors follow one another as the
// channels do.
// https://onnx.ai/onnx/operators/onnx__Concat.html, versions 4 to 13.
func planConcat(pl *planner, n *onnxio.Node) (step, error) {
	out, err := pl.vector(n.Output(0))
	if err != nil {
		return nil, err
	}
	axis, err := n.Int("axis", 1)
	if err != nil {
		return nil, err
	}
	if axis < 0 {
		axis += int64(len(out.dims) + 1)
	}
	for _, d := range out.dims[:max(0, min(int(axis)-1, len(out.dims)))] {
		if d != 1 {
			return nil, keep("axis %d is not the first after the batch", axis)
		}
	}
	if axis == 0 {
		return nil, keep("axis 0 joins batches")
	}
	for _, name := range n.Inputs {
		if _, err := pl.vector(name); err != nil {
			return nil, err
		}
	}
	return func(b *builder) error {
		inputs := make([]string, len(n.Inputs))
		for i, name := range n.Inputs {
			inputs[i] = b.vec(name)
		}
		joined := on(n, inputs, []string{b.newVec(n.Output(0))})
		joined.Attributes = []*onnxio.Attribute{onnxio.IntAttr("axis", 1)}
		b.node(joined)
		return nil
	}, nil
}
