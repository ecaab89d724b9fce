package finetune

import (
	"efcn/internal/kernel"
)

// layer is one differentiable operator, made for a fixed batch. in holds a
// slice per input of the layer, activations (N×L) and parameters alike; out and
// the gradients are buffers of the step, whose content before the call means
// nothing. A layer may keep state between forward and the backward that follows it.
//
// Adding an operator is one file: a layer, a function that reads the ONNX node and
// emits the layer, and its row in the table (see registry.go).
type layer[T kernel.Float] interface {
	forward(in [][]T, out []T)
	backward(p pass[T])
}

// pass holds the operands and the results of one backward step. What is not among the
// layer's needs is nil.
type pass[T kernel.Float] struct {
	in   [][]T // as forward had them
	out  []T   // what forward computed
	dout []T   // the gradient of the loss at out; the layer may overwrite it
	din  [][]T // receives the gradient at each input; nil where none is wanted
	// ready is to be called where more is computed after the gradient at input 0, which is
	// then sent to other ranks if it has to be. What was not called is called after backward.
	ready func()
	// part returns memory for so many elements of a gradient, until it is called again.
	part func(n int) []T
}

// needs is which values of the forward pass a layer reads in its backward: they
// are live until then, the others may be overwritten before.
type needs struct {
	inputs bool // the activations; parameters are there in any case
	output bool
	// inPlace means that forward can compute its output over its first input, and
	// backward the gradient at that over the gradient at the output.
	inPlace bool
}

// frugal is a layer that declares its needs. Others are taken to need everything.
type frugal interface{ needs() needs }

func needsOf[T kernel.Float](l layer[T]) needs {
	if f, ok := l.(frugal); ok {
		return f.needs()
	}
	return needs{inputs: true, output: true}
}

// buffered is a layer with buffers of its own. Those that it keeps are written in
// forward and read in backward; scratch has a meaning within backward alone.
type buffered[T kernel.Float] interface {
	buffers() (kept, scratch []*buffer[T])
}

// fusible is a layer that can set the parameter w at input i to keep·w −
// rate·gradient directly, without a buffer that holds the gradient. It is
// called after backward of the same step.
type fusible[T kernel.Float] interface {
	layer[T]
	// fuses reports whether it can, and whether gradient makes parts of about partSize.
	fuses(i int) (fuses, inParts bool)
	update(p pass[T], i int, rate, keep T)
	// gradient makes the gradient at input i after all and calls visit with its
	// parts in order: at is the index of the first element of a part, which
	// holds whole rows.
	gradient(p pass[T], i int, visit func(at int, part []T))
}
