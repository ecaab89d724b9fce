package engine

import (
	"cmp"
	"fmt"
	"slices"

	"efcn/internal/kernel"
	"efcn/onnxio"
)

// TopK (https://onnx.ai/onnx/operators/onnx__TopK.html): the k largest or smallest
// elements along an axis, in order, and their indices; equal ones by index. k is
// an attribute before version 10, an input since.
func init() {
	register(operator{name: "TopK", inputs: "ni"}, topK[float32], topK[float64])
}

func topK[T kernel.Float](n *node) (compute[T], error) {
	axis, largest := n.int("axis", -1), true
	if n.version >= 11 {
		largest = n.flag("largest", true)
		n.ignore("sorted") // sorted is one of the orders that unsorted allows
	}
	fixed := int64(0)
	if n.version < 10 {
		n.need("k")
		fixed = n.int("k", 0)
	} else if n.Input(1) == "" {
		n.refuse("k is missing")
	}
	return func(x *exec[T], in []*Tensor[T]) ([]*Tensor[T], error) {
		v, k := in[0], fixed
		a, err := axisIndex(axis, len(v.Shape))
		if err != nil {
			return nil, err
		}
		if in[1] != nil {
			if in[1].Len() != 1 {
				return nil, fmt.Errorf("k has shape %v; want one number", in[1].Shape)
			}
			k = in[1].I[0]
		}
		if k < 0 || k > int64(v.Shape[a]) {
			return nil, fmt.Errorf("k is %d, axis %d has %d", k, a, v.Shape[a])
		}
		shape := slices.Clone(v.Shape)
		shape[a] = int(k)
		values, err := x.alloc(v.Type, shape)
		if err != nil {
			return nil, err
		}
		index, err := x.alloc(onnxio.Int64, shape)
		if err != nil {
			return nil, err
		}
		outer, n, inner := around(v.Shape, a)
		switch {
		case v.Type.IsFloat():
			onLines(index.I, v.F, outer, n, int(k), inner, ranked[T](largest))
			takeAlong(values.F, v.F, index.I, outer, n, int(k), inner)
		case v.Type == onnxio.Uint64:
			onLines(index.I, unsigned(v.I), outer, n, int(k), inner, ranked[uint64](largest))
			takeAlong(values.I, v.I, index.I, outer, n, int(k), inner)
		default:
			onLines(index.I, v.I, outer, n, int(k), inner, ranked[int64](largest))
			takeAlong(values.I, v.I, index.I, outer, n, int(k), inner)
		}
		return []*Tensor[T]{values, index}, nil
	}, nil
}

// ranked writes the indices of the first len(dst) elements in order.
func ranked[E number](largest bool) func(dst []int64, src []E) {
	return func(dst []int64, src []E) {
		order := make([]int64, len(src))
		for i := range order {
			order[i] = int64(i)
		}
		slices.SortStableFunc(order, func(i, j int64) int {
			if largest {
				i, j = j, i
			}
			return cmp.Compare(src[i], src[j])
		})
		copy(dst, order)
	}
}

// takeAlong picks elements along the middle axis of outer×n×inner by index, which
// is outer×m×inner.
func takeAlong[E any](dst, src []E, index []int64, outer, n, m, inner int) {
	for o := range outer {
		for k := range m * inner {
			dst[o*m*inner+k] = src[(o*n+int(index[o*m*inner+k]))*inner+k%inner]
		}
	}
}
