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
	x, err := n.activation(0)
	if err != nil {
		return err
	}
	shape, err := n.outputShape()
	if err != nil {
		return err
	}
	if product(shape) != x.size() {
		return n.Errorf("shape %v a sample from %v; training needs each sample's elements kept together", shape, x.shape)
	}
	x.shape, x.once = shape, x.once && n.b.readers[n.Output(0)] == 1
	n.b.values[n.Output(0)] = x
	return nil
}
