package finetune

import "efcn/internal/kernel"

func init() {
	reshapes := func(o *operator) { o.reshapes = true }
	for _, name := range []string{"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity"} {
		register(name, emitReshape[float32], emitReshape[float64], reshapes, orders)
	}
	register("Dropout", emitReshape[float32], emitReshape[float64], reshapes)
}

func orders(o *operator) { o.orders = true }

// emitReshape gives the value another shape, and no node: elements keep their
// order. Dropout is one of them: fine-tuning trains without it, and its mask
// has no gradient.
func emitReshape[T kernel.Float](n *node[T]) error {
	x, ok := n.b.values[n.Input(0)]
	if !ok {
		return n.Errorf("input 0 (%q) is a constant; training needs a value computed from the model's input there",
			n.Input(0))
	}
	if x.axis == 0 && !x.folded && n.folds(x) {
		x.shape, x.folded = []int{x.size()}, true
		n.b.values[n.Output(0)] = x
		return nil
	}
	shape, err := n.outputShape()
	if x.folded || x.axis != 0 || err != nil || product(shape) != x.size() {
		// The batch may be on another axis, or come to it.
		return emitArranged(n)
	}
	x.shape = shape
	n.b.values[n.Output(0)] = x
	return nil
}

// folds reports whether output 0 has batch and sample in one axis, as PyTorch's dynamo
// exporter has it where strides are told (as_strided): it gathers from there by
// indices that it computes from the batch.
func (n *node[T]) folds(x value) bool {
	t, ok := n.b.info.Type(n.Output(0))
	return ok && t.HasShape && len(t.Shape) == 1 && x.size() > 1 && t.Shape[0].Known() &&
		int(t.Shape[0].Value) == n.b.a.net.batch*x.size()
}
