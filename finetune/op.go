package finetune

import (
	"errors"
	"fmt"
	"hash"
	"hash/fnv"

	"github.com/chewxy/hm"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"efcn/internal/kernel"
)

// op is a gorgonia Op over a layer. Every node of a training graph is a matrix:
// N×L for activations, 1×size for parameters and their gradients; what axes a
// value has besides is its layers' business, so a reshape costs no node.
//
// An op belongs to one node. What it reads and writes is known before it runs, and
// where that lies is planned with the graph (memory.go), so that a step allocates
// nothing. gorgonia knows an op by its hash, which the serial number makes unique.
type op[T kernel.Float] struct {
	label      string
	serial     int
	rows, cols int
	run        func(in [][]T)
	check      func() error // ends the step after run; nil if nothing can

	operands gorgonia.Nodes
	reads    []bool       // the operands that run looks at; it is given nil for the others
	further  []*buffer[T] // that run reads besides
	writes   []*buffer[T]
	result   *buffer[T] // the one that the node stands for
	// inPlace is the operand that writes[0] can be computed over; -1 for none.
	inPlace int

	value *tensor.Dense // over result
	clock *clock        // of the network
	turn  int

	// What the op is made of, for a device: the layer of which it is the forward pass, or its
	// step of the backward pass, or the loss. A view has neither.
	layer layer[T]
	pass  *gradients[T]
	loss  bool

	wrt  []bool // which inputs have a gradient; nil on backward nodes
	diff func(inputs gorgonia.Nodes, output, grad *gorgonia.Node) (gorgonia.Nodes, error)

	in [][]T // scratch of Do
}

// clock makes sure that ops run in the order that their memory is planned for.
type clock struct{ turn int }

var errOrder = errors.New("the machine runs the graph in another order than its memory is planned for")

func (o *op[T]) Arity() int           { return len(o.operands) }
func (o *op[T]) ReturnsPtr() bool     { return true }
func (o *op[T]) CallsExtern() bool    { return false } // buffers are ours: gorgonia need not make any
func (o *op[T]) OverwritesInput() int { return -1 }
func (o *op[T]) String() string       { return o.label }

func (o *op[T]) Type() hm.Type {
	types := make([]hm.Type, o.Arity()+1)
	for i := range types {
		types[i] = gorgonia.TensorType{Dims: 2, Of: dtype[T]()}
	}
	return hm.NewFnType(types...)
}

func (o *op[T]) InferShape(...gorgonia.DimSizer) (tensor.Shape, error) {
	return tensor.Shape{o.rows, o.cols}, nil
}

func (o *op[T]) WriteHash(h hash.Hash) { fmt.Fprintf(h, "efcn/%d/%s", o.serial, o.label) }

func (o *op[T]) Hashcode() uint32 {
	h := fnv.New32a()
	o.WriteHash(h)
	return h.Sum32()
}

// Do runs the op into its buffers.
func (o *op[T]) Do(values ...gorgonia.Value) (gorgonia.Value, error) {
	if len(values) != o.Arity() {
		return nil, fmt.Errorf("%s: want %d inputs, got %d", o.label, o.Arity(), len(values))
	}
	if o.turn <= o.clock.turn {
		return nil, fmt.Errorf("%s: %w", o.label, errOrder)
	}
	o.clock.turn = o.turn
	for i, v := range values {
		if o.reads[i] {
			o.in[i] = elements[T](v)
		}
	}
	o.run(o.in)
	if o.check != nil {
		if err := o.check(); err != nil {
			return nil, err
		}
	}
	return o.value, nil
}

// DiffWRT returns which inputs have a gradient.
func (o *op[T]) DiffWRT(int) []bool { return o.wrt }

// SymDiff returns a node for the gradient at each input of DiffWRT.
func (o *op[T]) SymDiff(inputs gorgonia.Nodes, output, grad *gorgonia.Node) (gorgonia.Nodes, error) {
	return o.diff(inputs, output, grad)
}

func dtype[T kernel.Float]() tensor.Dtype {
	if any(T(0)) == any(float32(0)) {
		return tensor.Float32
	}
	return tensor.Float64
}

// elements returns the storage of a matrix.
func elements[T kernel.Float](v gorgonia.Value) []T {
	d, ok := v.(*tensor.Dense)
	if !ok {
		return nil
	}
	// Data would allocate.
	var all any
	if dtypeSize[T]() == 4 {
		all = d.Float32s()
	} else {
		all = d.Float64s()
	}
	s, _ := all.([]T)
	return s
}

func matrix[T kernel.Float](rows, cols int, storage []T) *tensor.Dense {
	return tensor.New(tensor.WithShape(rows, cols), tensor.WithBacking(storage))
}
