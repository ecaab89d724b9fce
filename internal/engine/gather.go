package engine

import (
	"fmt"
	"slices"

	"efcn/internal/kernel"
)

// Gather (https://onnx.ai/onnx/operators/onnx__Gather.html): slices of the data
// along an axis, in the order of the indices; negative ones count from the end
// since version 11.
func init() {
	register(operator{name: "Gather", inputs: "vi"}, gather[float32], gather[float64])
}

func gather[T kernel.Float](n *node) (compute[T], error) {
	axis := n.int("axis", 0)
	fromEnd := n.version >= 11
	return func(x *exec[T], in []*Tensor[T]) ([]*Tensor[T], error) {
		data, index := in[0], in[1]
		a, err := axisIndex(axis, len(data.Shape))
		if err != nil {
			return nil, err
		}
		at, err := indices(index.I, data.Shape[a], fromEnd)
		if err != nil {
			return nil, err
		}
		y, err := x.alloc(data.Type, slices.Concat(data.Shape[:a], index.Shape, data.Shape[a+1:]))
		if err != nil {
			return nil, err
		}
		outer, n, inner := product(data.Shape[:a]), data.Shape[a], product(data.Shape[a+1:])
		if data.Type.IsFloat() {
			gatherRows(y.F, data.F, at, outer, n, inner)
		} else {
			gatherRows(y.I, data.I, at, outer, n, inner)
		}
		return []*Tensor[T]{y}, nil
	}, nil
}

func gatherRows[E any](dst, src []E, at []int, outer, n, inner int) {
	if len(dst) == 0 {
		return
	}
	kernel.Parallel(outer, max(1, rowGrain/(len(at)*inner)), func(lo, hi int) {
		for o := lo; o < hi; o++ {
			d, s := dst[o*len(at)*inner:(o+1)*len(at)*inner], src[o*n*inner:(o+1)*n*inner]
			if inner == 1 {
				for k, i := range at {
					d[k] = s[i]
				}
				continue
			}
			for k, i := range at {
				copy(d[k*inner:(k+1)*inner], s[i*inner:])
			}
		}
	})
}

// indices checks that every index lies in [0, n), or [-n, n) where negative ones
// count from the end.
func indices(list []int64, n int, fromEnd bool) ([]int, error) {
	at := make([]int, len(list))
	for k, i := range list {
		j := i
		if j < 0 && fromEnd {
			j += int64(n)
		}
		if j < 0 || j >= int64(n) {
			return nil, fmt.Errorf("index %d is outside an axis of %d", i, n)
		}
		at[k] = int(j)
	}
	return at, nil
}
