package convert

import (
	"fmt"
	"slices"

	"efcn/convert/affine"
	"efcn/onnxio"
)

func init() {
	register("Gather", operator{
		becomes: "Gather on the vector, where its indices are a constant; else itself, on tensors", plan: planGather,
	})
}

// planGather plans a selection of indices along one axis other than the batch.
// Indices may have any number of axes, which take the place of that one.
// https://onnx.ai/onnx/operators/onnx__Gather.html, versions 1 to 13.
func planGather(pl *planner, n *onnxio.Node) ([]*piece, error) {
	in, err := pl.vector(n.Input(0))
	if err != nil {
		return nil, err
	}
	t := pl.consts[n.Input(1)]
	if t == nil {
		return nil, keep("its indices %q are computed at run time", n.Input(1))
	}
	indices, err := onnxio.Ints(t)
	if err != nil {
		return nil, fmt.Errorf("indices: %w", err)
	}
	axis, err := n.Int("axis", 0)
	if err != nil {
		return nil, err
	}
	inner, err := innerAxis(axis, in.dims)
	if err != nil {
		return nil, err
	}
	picked := make([]int, len(indices))
	for i, v := range indices {
		d := int64(in.dims[inner])
		if v < -d || v >= d {
			return nil, fmt.Errorf("index %d: axis %d of N×%v has %d", v, axis, in.dims, d)
		}
		if v < 0 { // from behind
			v += d
		}
		picked[i] = int(v)
	}
	dims := slices.Clone(in.dims[:inner])
	for _, d := range t.Dims {
		dims = append(dims, int(d))
	}
	dims = append(dims, in.dims[inner+1:]...)
	return pl.selectFrom(n, n.Output(0), affine.Everything(in.dims).Along(inner, picked).Reshape(dims...), 0)
}
