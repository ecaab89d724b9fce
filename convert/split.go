package convert

import (
	"fmt"

	"efcn/convert/affine"
	"efcn/onnxio"
)

func init() {
	register("Split", operator{becomes: "Gather on the vector, for each part", plan: planSplit, notNegative: sameSign})
}

// planSplit plans the cutting of a tensor along an axis other than the batch.
// The sizes of the parts are those of the outputs.
// https://onnx.ai/onnx/operators/onnx__Split.html, versions 2 to 18.
func planSplit(pl *planner, n *onnxio.Node) ([]*piece, error) {
	in, err := pl.vector(n.Input(0))
	if err != nil {
		return nil, err
	}
	at, err := n.Int("axis", 0)
	if err != nil {
		return nil, err
	}
	axis, err := innerAxis(at, in.dims)
	if err != nil {
		return nil, err
	}
	var parts []*piece
	next := 0
	for _, output := range n.Outputs {
		out, err := pl.vector(output)
		if err != nil {
			return nil, err
		}
		if axis >= len(out.dims) || next+out.dims[axis] > in.dims[axis] {
			return nil, fmt.Errorf("axis %d: the parts are larger than the whole", at)
		}
		index := make([]int, out.dims[axis])
		for i := range index {
			index[i] = next + i
		}
		next += len(index)
		part, err := pl.selectFrom(n, output, affine.Everything(in.dims).Along(axis, index), 0)
		if err != nil {
			return nil, err
		}
		parts = append(parts, part...)
	}
	if next != in.dims[axis] {
		return nil, fmt.Errorf("axis %d: the parts have %d of %d indices", at, next, in.dims[axis])
	}
	return parts, nil
}
