package engine

import (
	"fmt"
	"slices"

	"efcn/internal/kernel"
)

// Concat (https://onnx.ai/onnx/operators/onnx__Concat.html) along an axis;
// the other axes agree.
func init() {
	register(operator{name: "Concat", inputs: "v*"}, concat[float32], concat[float64])
}

func concat[T kernel.Float](n *node) (compute[T], error) {
	n.need("axis")
	axis := n.int("axis", 1)
	n.eitherLayout = true
	return func(x *exec[T], in []*Tensor[T]) ([]*Tensor[T], error) {
		first := in[0]
		a, err := axisIndex(axis, len(first.Shape))
		if err != nil {
			return nil, err
		}
		shape := slices.Clone(first.Shape)
		shape[a] = 0
		for i, v := range in {
			if v == nil {
				return nil, fmt.Errorf("input %d is missing", i)
			}
			if v.Type != first.Type {
				return nil, fmt.Errorf("inputs are %s and %s; a Cast must make them the same", first.Type, v.Type)
			}
			if len(v.Shape) != len(shape) || !slices.Equal(v.Shape[:a], shape[:a]) ||
				!slices.Equal(v.Shape[a+1:], shape[a+1:]) {
				return nil, fmt.Errorf("inputs of shape %v and %v differ off axis %d", first.Shape, v.Shape, a)
			}
			shape[a] += v.Shape[a]
		}
		if slices.ContainsFunc(in, func(v *Tensor[T]) bool { return v.last }) {
			return one(x.concatLast(in, a, shape))
		}
		y, err := x.alloc(first.Type, shape)
		if err != nil {
			return nil, err
		}
		if y.Len() == 0 {
			return []*Tensor[T]{y}, nil
		}
		outer, row, at := product(shape[:a]), product(shape[a:]), 0
		for _, v := range in {
			n := product(v.Shape[a:])
			if y.Type.IsFloat() {
				copyBlocks(y.F, at, row, v.F, 0, n, outer, n)
			} else {
				copyBlocks(y.I, at, row, v.I, 0, n, outer, n)
			}
			at += n
		}
		return []*Tensor[T]{y}, nil
	}, nil
}

// copyBlocks copies blocks of n elements: block k from src[s+k·srcStep] to
// dst[d+k·dstStep].
func copyBlocks[E any](dst []E, d, dstStep int, src []E, s, srcStep, blocks, n int) {
	for k := range blocks {
		copy(dst[d+k*dstStep:d+k*dstStep+n], src[s+k*srcStep:s+k*srcStep+n])
	}
}

// concatLast is Concat to a value of the given shape where the channels of some inputs are
// last: along them, or else row-major.
func (x *exec[T]) concatLast(in []*Tensor[T], axis int, shape []int) (*Tensor[T], error) {
	lie := x.toLast
	if axis != 1 {
		lie = x.rowMajor
	}
	parts := make([]*Tensor[T], len(in))
	for i, v := range in {
		var err error
		if parts[i], err = lie(v); err != nil {
			return nil, err
		}
	}
	y, err := x.fresh(in[0].Type, shape)
	if err != nil {
		return nil, err
	}
	outer, inner := product(shape[:axis]), product(shape[axis+1:])
	if axis == 1 {
		y.last = !y.isLast()
		outer, inner = shape[0]*inner, 1
	}
	row, at := shape[axis]*inner, 0
	for _, v := range parts {
		n := v.Shape[axis] * inner
		kernel.Parallel(outer, max(1, rowGrain/max(1, n)), func(lo, hi int) {
			copyBlocks(y.F, at+lo*row, row, v.F, lo*n, n, hi-lo, n)
		})
		at += n
	}
	return y, nil
}
