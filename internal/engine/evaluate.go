package engine

import (
	"context"
	"slices"

	"efcn/internal/kernel"
	"efcn/onnxio"
	"efcn/onnxio/shape"
)

// What is computed from shapes is known to shape inference as far as the engine
// can compute it.
func init() { shape.RegisterEvaluator(evaluate) }

// evaluate runs one node on constants, at the precision the model declares.
func evaluate(n *onnxio.Node, opset int64, inputs []*onnxio.Tensor, most int) ([]*onnxio.Tensor, error) {
	if isDouble(n, inputs) {
		return evaluateIn[float64](n, opset, inputs, most)
	}
	return evaluateIn[float32](n, opset, inputs, most)
}

// isDouble says whether a node computes with a float64.
func isDouble(n *onnxio.Node, inputs []*onnxio.Tensor) bool {
	return slices.ContainsFunc(inputs, func(t *onnxio.Tensor) bool { return t != nil && t.Type == onnxio.Float64 }) ||
		slices.ContainsFunc(n.Attributes, func(a *onnxio.Attribute) bool { return a.T != nil && a.T.Type == onnxio.Float64 })
}

func evaluateIn[T kernel.Float](n *onnxio.Node, opset int64, inputs []*onnxio.Tensor, most int) ([]*onnxio.Tensor, error) {
	s, err := prepare[T](n, map[string]int64{"": opset})
	if err != nil {
		return nil, err
	}
	in := make([]*Tensor[T], max(len(inputs), s.op.slots()))
	for i, t := range inputs {
		if t == nil {
			continue
		}
		if in[i], err = FromONNX[T](t); err != nil {
			return nil, err
		}
	}
	out, err := s.run(&exec[T]{ctx: context.Background(), elements: most}, in)
	if err != nil {
		return nil, err
	}
	results := make([]*onnxio.Tensor, len(n.Outputs))
	for i, name := range n.Outputs {
		if name != "" {
			results[i] = settled(name, out[i])
		}
	}
	return results, nil
}

// settled makes a constant of a result, rounded to the type that it declares. The
// constant keeps the result's elements.
func settled[T kernel.Float](name string, v *Tensor[T]) *onnxio.Tensor {
	if v.Type == onnxio.Float32 { // a Cast among doubles
		for k, e := range v.F {
			v.F[k] = T(float32(e))
		}
	}
	roundTo(v.Type, v.F)
	return ToONNX(name, v)
}
