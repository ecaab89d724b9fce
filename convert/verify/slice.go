package verify

import (
	"fmt"
	"math"

	"efcn/onnxio"
)

// https://onnx.ai/onnx/operators/onnx__Slice.html
func init() {
	register(operator{
		name: "Slice", moves: &movement{}, integers: passedOnInShape, selection: picks(sliced),
		lists: map[string]int{"starts": 1, "ends": 2, "axes": 3},
	})
}

// sliced: starts and ends count from the end where they are negative, and are
// clamped to the axis; a step that is negative goes backwards, from an index that
// there is.
// https://onnx.ai/onnx/operators/onnx__Slice.html
func sliced(s *structure, node *onnxio.Node, _ int, in []int) ([][]int, error) {
	var lists [4][]int64
	for i, name := range []string{"starts", "ends", "axes", "steps"} {
		var err error
		if lists[i], err = s.cnn.list(node, name, i+1); err != nil {
			return nil, err
		}
	}
	starts, ends, axes, steps := lists[0], lists[1], lists[2], lists[3]
	out := everything(in)
	for i, start := range starts {
		number, step := int64(i), int64(1)
		if axes != nil {
			number = axes[i]
		}
		if steps != nil {
			step = steps[i]
		}
		axis, err := axisOf(number, len(in))
		if err != nil || i >= len(ends) || step == 0 {
			return nil, fmt.Errorf("starts %v, ends %v, axes %v, steps %v: %w", starts, ends, axes, steps, err)
		}
		n, end := int64(in[axis]), ends[i]
		if start < 0 {
			start += n
		}
		if end < 0 && end > math.MinInt64/2 {
			end += n
		}
		out[axis] = nil
		if step > 0 {
			for at := max(start, 0); at < min(end, n); at += step {
				out[axis] = append(out[axis], int(at))
			}
		} else if n > 0 {
			for at := max(0, min(start, n-1)); at > max(end, -1); at += step {
				out[axis] = append(out[axis], int(at))
			}
		}
	}
	return out, nil
}
