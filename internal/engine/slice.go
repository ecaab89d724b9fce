package engine

import (
	"fmt"
	"slices"

	"efcn/internal/kernel"
)

// Slice (https://onnx.ai/onnx/operators/onnx__Slice.html): starts, ends, axes
// and, since version 10, steps. They are attributes before version 10, inputs
// since.
func init() {
	register(operator{name: "Slice", inputs: "viiii"}, slice[float32], slice[float64])
}

func slice[T kernel.Float](n *node) (compute[T], error) {
	if n.version < 10 {
		n.need("starts")
		n.need("ends")
		starts, ends, axes := n.ints("starts"), n.ints("ends"), n.ints("axes")
		if len(n.Inputs) > 1 {
			n.refuse("version %d takes its ranges as attributes, not inputs", n.version)
		}
		return func(x *exec[T], in []*Tensor[T]) ([]*Tensor[T], error) {
			return one(x.slice(in[0], starts, ends, axes, nil))
		}, nil
	}
	for i := range 3 {
		if n.Input(i) == "" {
			n.refuse("input %d is missing", i)
		}
	}
	return func(x *exec[T], in []*Tensor[T]) ([]*Tensor[T], error) {
		var lists [4][]int64
		for i, what := range []string{"starts", "ends", "axes", "steps"} {
			if t := in[i+1]; t != nil {
				list, err := intVector(what, t)
				if err != nil {
					return nil, err
				}
				lists[i] = list
			}
		}
		return one(x.slice(in[0], lists[0], lists[1], lists[2], lists[3]))
	}, nil
}

func (x *exec[T]) slice(v *Tensor[T], starts, ends, axes, steps []int64) (*Tensor[T], error) {
	if len(ends) != len(starts) || axes != nil && len(axes) != len(starts) || steps != nil &&
		len(steps) != len(starts) {
		return nil, fmt.Errorf("%d starts, %d ends, %d axes and %d steps; want as many of each", len(starts),
			len(ends), len(axes), len(steps))
	}
	if axes == nil {
		if len(starts) > len(v.Shape) {
			return nil, fmt.Errorf("%d starts for shape %v", len(starts), v.Shape)
		}
		for i := range starts {
			axes = append(axes, int64(i))
		}
	}
	if _, err := axisSet(axes, len(v.Shape)); err != nil {
		return nil, err
	}
	shape := slices.Clone(v.Shape)
	w := walk{base: 0, strides: stridesOf(v.Shape)}
	for k := range starts {
		a, err := axisIndex(axes[k], len(v.Shape))
		if err != nil {
			return nil, err
		}
		step := int64(1)
		if steps != nil {
			step = steps[k]
		}
		if step == 0 {
			return nil, fmt.Errorf("step of axis %d is 0", a)
		}
		start, n := sliceRange(starts[k], ends[k], step, int64(v.Shape[a]))
		shape[a] = n
		if n > 1 { // else the step is not used, and may be absurd
			w.base += start * w.strides[a]
			w.strides[a] *= int(step)
		} else if n == 1 {
			w.base += start * w.strides[a]
		}
	}
	w.shape = shape
	return x.rearranged(v, shape, w)
}

// sliceRange clamps a range to an axis of d elements and counts its elements. A
// start before the axis is its first element, whatever the step: so the
// operator's page has it, where NumPy's slices are empty with a negative step.
func sliceRange(start, end, step, d int64) (first, n int) {
	if start < 0 {
		start += d
	}
	if end < 0 {
		end += d
	}
	if step > 0 {
		start, end = max(0, min(start, d)), max(0, min(end, d))
		if end <= start {
			return 0, 0
		}
		return int(start), int((end-start-1)/step + 1)
	}
	start, end = max(0, min(start, d-1)), max(-1, min(end, d-1))
	if d == 0 || start <= end {
		return 0, 0
	}
	if step < -d { // its negation may not exist
		return int(start), 1
	}
	return int(start), int((start-end-1)/-step + 1)
}
