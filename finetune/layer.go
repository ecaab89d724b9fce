package finetune

import (
	"efcn/internal/kernel"
)

// layer is one differentiable operator, made for a fixed batch. in holds a
// slice per input of the layer, activations (N×L) and parameters alike; out and
// the gradients are the layer's own buffers, overwritten at every call. A layer
// may keep state between forward and the backward that follows it.
//
// Adding an operator is one file: a layer, and a function that reads the ONNX
// node and emits it (see registry.go).
type layer[T kernel.Float] interface {
	forward(in [][]T, out []T)
	backward(p pass[T])
}

// pass is what one backward step is given and asked for.
type pass[T kernel.Float] struct {
	in   [][]T // as forward had them
	out  []T   // what forward computed
	dout []T   // the gradient of the loss at out
	din  [][]T // receives the gradient at each input; nil where none is wanted
}

// fusible is a layer that can set the parameter w at input i to keep·w −
// rate·gradient directly, without a buffer that holds the gradient. It is
// called after backward of the same step.
type fusible[T kernel.Float] interface {
	layer[T]
	fuses(i int) bool
	update(p pass[T], i int, rate, keep T)
	// gradient makes the gradient at input i after all and calls visit with its
	// parts in order: at is the index of the first element of a part, which
	// holds whole rows.
	gradient(p pass[T], i int, visit func(at int, part []T))
}

// forgetful is a layer whose backward does not look at what forward computed.
type forgetful interface{ forgets() }

// replacing is a layer that can compute over its first input, and the gradient
// at that over the gradient at its output.
type replacing interface{ replaces() bool }

// recycling is a layer that in backward does not look at its first input, and so
// can compute the gradient at that in its place.
type recycling interface{ recycles() }
