package convert

import (
	"fmt"
	"math"

	"efcn/convert/affine"
	"efcn/onnxio"
)

func init() {
	register("Slice", operator{becomes: "Gather on the vector", plan: planSlice, notNegative: sameSign})
}

// planSlice plans a selection of indices along axes other than the batch.
// https://onnx.ai/onnx/operators/onnx__Slice.html, versions 1 (attributes) to
// 13 (inputs).
func planSlice(pl *planner, n *onnxio.Node) ([]*piece, error) {
	in, err := pl.vector(n.Input(0))
	if err != nil {
		return nil, err
	}
	var args [4][]int64
	for i, name := range []string{"starts", "ends", "axes", "steps"} {
		if args[i], err = pl.intsArg(n, name, i+1); err != nil {
			if name != "ends" {
				return nil, err
			}
			if args[i] = pl.endsOfBatch(n); args[i] == nil {
				return nil, err
			}
		}
	}
	starts, ends, axes, steps := args[0], args[1], args[2], args[3]
	if len(starts) == 0 || len(ends) != len(starts) || axes != nil && len(axes) != len(starts) || steps != nil &&
		len(steps) != len(starts) {
		return nil, fmt.Errorf("starts %v, ends %v, axes %v, steps %v: want lists of one length", starts, ends, axes,
			steps)
	}
	sel := affine.Everything(in.dims)
	for i := range starts {
		axis, step := int64(i), int64(1)
		if axes != nil {
			axis = axes[i]
		}
		if steps != nil {
			step = steps[i]
		}
		if first := axis == 0 || axis == -int64(len(in.dims)+1); first && starts[i] == 0 && step == 1 &&
			ends[i] >= math.MaxInt32 {
			continue // the whole batch
		}
		inner, err := innerAxis(axis, in.dims)
		if err != nil {
			return nil, err
		}
		index, err := sliceIndex(starts[i], ends[i], step, sel.Dims[inner])
		if err != nil {
			return nil, err
		}
		sel = sel.Along(inner, index)
	}
	return pl.selectFrom(n, n.Output(0), sel, 0)
}

// endsOfBatch returns the ends of a Slice of which those that are not known are
// the size of the batch, as math.MaxInt64; nil if they are not. On another axis
// than the batch that may be any place, and the node is kept.
func (pl *planner) endsOfBatch(n *onnxio.Node) []int64 {
	dims, ok := pl.plan.info.Ints(n.Input(2))
	if !ok {
		return nil
	}
	axes, err := pl.intsArg(n, "axes", 3)
	if err != nil {
		return nil
	}
	ends := make([]int64, len(dims))
	for i, d := range dims {
		axis := int64(i)
		if i < len(axes) {
			axis = axes[i]
		}
		if ends[i] = d.Value; d.Param == "" {
			continue
		}
		if axis != 0 || !pl.plan.info.IsSize(n.Input(2), i, n.Input(0), 0) {
			return nil
		}
		ends[i] = math.MaxInt64
	}
	return ends
}

// sliceIndex lists the indices from start to before end, which count from
// behind where they are negative and are clamped to the axis.
func sliceIndex(start, end, step int64, length int) ([]int, error) {
	d := int64(length)
	clamp := func(v, lo, hi int64) int64 {
		if v < 0 {
			v += d
		}
		return min(max(v, lo), hi)
	}
	index := []int{}
	switch {
	case step > 0:
		for i := clamp(start, 0, d); i < clamp(end, 0, d); i += step {
			index = append(index, int(i))
			if step > d {
				break
			}
		}
	case step < 0:
		for i := clamp(start, 0, d-1); i > clamp(end, -1, d-1); i += step {
			index = append(index, int(i))
			if step < -d {
				break
			}
		}
	default:
		return nil, fmt.Errorf("steps: want no zero")
	}
	return index, nil
}
