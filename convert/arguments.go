package convert

import (
	"errors"
	"fmt"

	"efcn/onnxio"
	"efcn/onnxio/shape"
)

// orKeep makes of an argument that is computed at run time a reason to keep the node.
func orKeep(err error) error {
	var unknown *shape.NotConstantError
	if errors.As(err, &unknown) {
		return keep("%v", unknown)
	}
	return err
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
