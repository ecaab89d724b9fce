package convert

import (
	"efcn/onnxio"
)

func init() {
	for _, name := range []string{"Softmax", "LogSoftmax"} {
		register(name, operator{
			becomes: "itself: on the vector where its input is one, else on tensors",
			plan:    planSoftmax,
		})
	}
}

// planSoftmax plans a normalisation over the classes. On a batch of vectors,
// where classifiers have it, the vector is the tensor.
// https://onnx.ai/onnx/operators/onnx__Softmax.html, versions 1 to 13.
func planSoftmax(pl *planner, n *onnxio.Node) ([]*piece, error) {
	in, err := pl.vector(n.Input(0))
	if err != nil {
		return nil, err
	}
	if len(in.dims) != 1 {
		return nil, keep("it normalises over an axis of N×%v", in.dims)
	}
	axis, err := n.Int("axis", 1) // 1 and -1, the defaults, are the same axis here
	if err != nil {
		return nil, err
	}
	if axis != 1 && axis != -1 {
		return nil, keep("axis %d normalises over the batch", axis)
	}
	return planUnary(pl, n)
}
