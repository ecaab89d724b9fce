package convert

import (
	"fmt"

	"efcn/onnxio"
)

// intsArg returns a list of integers that older versions of an operator have as
// the attribute name and newer ones as input i; nil where neither is given. A
// list that is computed at run time keeps the node.
func (pl *planner) intsArg(n *onnxio.Node, name string, i int) ([]int64, error) {
	input := n.Input(i)
	if input == "" {
		return n.Ints(name)
	}
	if t := pl.consts[input]; t != nil {
		v, err := onnxio.Ints(t)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		return v, nil
	}
	return nil, keep("%s %q is computed at run time", name, input)
}

// innerAxis turns an axis of a batch of tensors of shape dims, which may count
// from behind, into an axis of one of them. The batch axis keeps the node.
func innerAxis(axis int64, dims []int) (int, error) {
	rank := int64(len(dims) + 1)
	if axis < -rank || axis >= rank {
		return 0, fmt.Errorf("axis %d: want %d to %d", axis, -rank, rank-1)
	}
	if axis < 0 {
		axis += rank
	}
	if axis == 0 {
		return 0, keep("it works along the batch axis")
	}
	return int(axis) - 1, nil
}

// has reports whether an operator of ai.onnx has an attribute in the version of the
// operator set that the model is of. Other versions have an input in its place, or
// nothing.
func (p *Plan) has(op, attribute string) bool {
	schema, ok := onnxio.LookupOp("", op, p.model.Opset(""))
	if ok {
		_, ok = schema.Attribute(attribute)
	}
	return ok
}

// needsBias reports whether a Gemm has to have its input C in the version of the
// operator set that the model is of.
func (p *Plan) needsBias() bool {
	schema, ok := onnxio.LookupOp("", "Gemm", p.model.Opset(""))
	return ok && schema.MinInputs > 2
}
