package engine

import (
	"fmt"
	"slices"

	"efcn/internal/kernel"
)

// If (https://onnx.ai/onnx/operators/onnx__If.html) runs one of two graphs. They
// take what they need from the graph around them.
func init() {
	register(operator{name: "If", inputs: "b"}, ifElse[float32], ifElse[float64])
}

func ifElse[T kernel.Float](n *node) (compute[T], error) {
	var branches [2]*program[T] // else, then
	for i, name := range []string{"else_branch", "then_branch"} {
		g := n.graph(name)
		if g == nil {
			return nil, nil // the attribute's error stands
		}
		if len(g.Inputs) > 0 || len(g.Outputs) != len(n.Outputs) {
			return nil, fmt.Errorf("%s has %d inputs and %d outputs; want 0 and %d", name, len(g.Inputs),
				len(g.Outputs), len(n.Outputs))
		}
		p, err := compile[T](g, n.opsets, n.outer)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		branches[i] = p
		for _, c := range p.captured {
			if !slices.Contains(n.captured, c) {
				n.captured = append(n.captured, c)
			}
		}
	}
	captured := n.captured
	return func(x *exec[T], in []*Tensor[T]) ([]*Tensor[T], error) {
		cond, around := in[0], in[len(in)-len(captured):]
		if cond.Len() != 1 {
			return nil, fmt.Errorf("the condition has shape %v; want a scalar", cond.Shape)
		}
		inner := &exec[T]{ctx: x.ctx, elements: x.elements}
		branch := branches[0]
		if cond.I[0] != 0 {
			branch = branches[1]
		}
		return branch.run(inner, func(name string) *Tensor[T] {
			if i := slices.Index(captured, name); i >= 0 {
				return around[i]
			}
			return nil
		})
	}, nil
}
