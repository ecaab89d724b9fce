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
	taken, err := pl.plan.info.Slice(n)
	if err != nil {
		return nil, orKeep(err)
	}
	sel := affine.Everything(in.dims)
	for _, t := range taken {
		if t.Axis == 0 && t.Start == 0 && t.Step == 1 && t.End >= math.MaxInt32 {
			continue // the whole batch
		}
		inner, err := innerAxis(int64(t.Axis), in.dims)
		if err != nil {
			return nil, err
		}
		index, err := sliceIndex(t.Start, t.End, t.Step, sel.Dims[inner])
		if err != nil {
			return nil, err
		}
		sel = sel.Along(inner, index)
	}
	return pl.selectFrom(n, n.Output(0), sel, 0)
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
