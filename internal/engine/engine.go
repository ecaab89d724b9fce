// Package engine runs ONNX graphs in float32 or float64.
package engine

import (
	"context"
	"errors"

	"efcn/internal/kernel"
	"efcn/onnxio"
)

// Tensor is one value of a running graph. Shape has no unknown dimension;
// elements are row-major. Exactly one of F and I is in use, by Type: every
// floating type is held in F at the engine's precision, every integer type and
// bool (as 0 and 1) in I.
type Tensor[T kernel.Float] struct {
	Type  onnxio.DataType
	Shape []int
	F     []T
	I     []int64
}

// Engine is a model made ready to run at one precision.
type Engine[T kernel.Float] struct{}

// New makes m ready. Every node that the engine cannot run is named in the
// error (errors.Join of onnxio.NodeError).
func New[T kernel.Float](m *onnxio.Model) (*Engine[T], error) { return nil, errors.New("stub") }

// Run computes the graph's outputs from its inputs, both by name.
func (e *Engine[T]) Run(ctx context.Context, feeds map[string]*Tensor[T]) (map[string]*Tensor[T], error) {
	return e.Observe(ctx, feeds, nil)
}

// Observe is Run, and calls see with every value that a node computes, in the
// order of the graph. A value is only valid during the call; an error from see
// ends the run.
func (e *Engine[T]) Observe(ctx context.Context, feeds map[string]*Tensor[T], see func(name string, v *Tensor[T]) error) (map[string]*Tensor[T], error) {
	return nil, errors.New("stub")
}

// RunNode runs the single node n of operator-set version opset on inputs, which
// match n.Inputs (nil where an optional one is left out).
func RunNode[T kernel.Float](n *onnxio.Node, opset int64, inputs []*Tensor[T]) ([]*Tensor[T], error) {
	return nil, errors.New("stub")
}

// FoldConstants returns a copy of m in which every node whose inputs are all
// constant is replaced by the initializers it computes, at the precision the
// model declares. Nodes that only fed folded ones are dropped; graph outputs keep their names.
func FoldConstants(m *onnxio.Model) (*onnxio.Model, error) { return nil, errors.New("stub") }
