package finetune

import (
	"slices"

	"efcn/internal/kernel"
)

func init() {
	for _, op := range reshaping {
		register(op, emitReshape[float32], emitReshape[float64])
	}
}

var reshaping = [...]string{"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Dropout"}

func reshapes(opType string) bool { return slices.Contains(reshaping[:], opType) }

// emitReshape gives the value another shape, and no node: elements keep their
// order. Dropout is one of them: fine-tuning trains without it, and its mask
// has no gradient.
func emitReshape[T kernel.Float](n *node[T]) error {
	x, ok := n.b.values[n.Input(0)]
	if !ok {
		return n.Errorf("input 0 (%q) is a constant; training needs a value computed from the model's input there", n.Input(0))
	}
	shape, err := n.outputShape()
	if x.axis != 0 || err != nil || product(shape) != x.size() {
		// The batch may be on another axis, or come to it.
		return emitArranged(n)
	}
	x.shape, x.once = shape, x.once && n.b.readers[n.Output(0)] == 1
	n.b.values[n.Output(0)] = x
	return nil
}
