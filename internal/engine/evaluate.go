package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"efcn/internal/kernel"
	"efcn/onnxio"
)

// ErrUnsupported is wrapped by [Evaluate] where the engine can't run a node: it
// lacks the operator, or its attributes, or the type of an input, or the result is
// too large.
var ErrUnsupported = errors.New("the engine cannot run the node")

// Evaluate runs one node, of operator-set version opset, on constants, at the
// precision that they declare; inputs match those of the node, nil where one is left
// out. The result has a constant for each of n.Outputs, nil for those without a
// name. It may share memory with the inputs. A result of more than most elements
// is an error that wraps [ErrUnsupported].
func Evaluate(n *onnxio.Node, opset int64, inputs []*onnxio.Tensor, most int) ([]*onnxio.Tensor, error) {
	if isDouble(n, inputs) {
		return evaluate[float64](n, opset, inputs, most)
	}
	return evaluate[float32](n, opset, inputs, most)
}

// isDouble reports whether a node computes with a float64.
func isDouble(n *onnxio.Node, inputs []*onnxio.Tensor) bool {
	double := func(t *onnxio.Tensor) bool { return t != nil && t.Type == onnxio.Float64 }
	return slices.ContainsFunc(inputs, double) || slices.ContainsFunc(n.Attributes, func(a *onnxio.Attribute) bool {
		return double(a.T) || a.Sparse != nil && double(a.Sparse.Values)
	})
}

func evaluate[T kernel.Float](n *onnxio.Node, opset int64, inputs []*onnxio.Tensor, most int) ([]*onnxio.Tensor,
	error,
) {
	s, err := prepare[T](n, map[string]int64{"": opset})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	in := make([]*Tensor[T], max(len(inputs), s.op.slots()))
	for i, t := range inputs {
		if t == nil {
			continue
		}
		if !held(t.Type) {
			return nil, fmt.Errorf("%w: %w", ErrUnsupported, n.Errorf("input %q is %s", t.Name, t.Type))
		}
		if in[i], err = ViewONNX[T](t); err != nil {
			return nil, n.Errorf("input %q: %w", t.Name, err)
		}
	}
	out, err := s.run(&exec[T]{ctx: context.Background(), elements: min(most, maxElements)}, in)
	if errors.Is(err, errTooMany) {
		err = fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	if err != nil {
		return nil, err
	}
	results := make([]*onnxio.Tensor, len(n.Outputs))
	for i, name := range n.Outputs {
		if name != "" {
			results[i] = ToONNX(name, rounded(out[i]))
		}
	}
	return results, nil
}

// rounded returns v with its elements rounded to the type that it declares.
func rounded[T kernel.Float](v *Tensor[T]) *Tensor[T] {
	var zero T
	if _, single := any(zero).(float32); v.Type == onnxio.Float64 || v.Type == onnxio.Float32 && single ||
		!v.Type.IsFloat() {
		return v
	}
	r := *v
	r.F = slices.Clone(v.F)       // they may be those of an input
	if v.Type == onnxio.Float32 { // a Cast among doubles
		for k, e := range r.F {
			r.F[k] = T(float32(e))
		}
	}
	Round(v.Type, r.F)
	return &r
}
