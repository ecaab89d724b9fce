package engine

import (
	"fmt"
	"slices"

	"efcn/internal/kernel"
)

// GatherElements and GatherND
// (https://onnx.ai/onnx/operators/onnx__GatherElements.html): the first takes
// single elements along an axis, the second slices at index vectors, after
// batch_dims shared axes.
func init() {
	register(operator{name: "GatherElements", inputs: "vi"}, gatherElements[float32], gatherElements[float64])
	register(operator{name: "GatherND", inputs: "vi"}, gatherND[float32], gatherND[float64])
}

func gatherElements[T kernel.Float](n *node) (compute[T], error) {
	axis := n.int("axis", 0)
	return func(x *exec[T], in []*Tensor[T]) ([]*Tensor[T], error) {
		v, index := in[0], in[1]
		at, err := elementsAlong(axis, v.Shape, index)
		if err != nil {
			return nil, err
		}
		return one(x.pick(v, at, 1, index.Shape))
	}, nil
}

// elementsAlong maps each position of index to the element of a tensor of the
// given shape that it names: the same position, but for the coordinate on axis.
func elementsAlong[T kernel.Float](axis int64, shape []int, index *Tensor[T]) ([]int, error) {
	a, err := axisIndex(axis, len(shape))
	if err != nil {
		return nil, err
	}
	if len(index.Shape) != len(shape) {
		return nil, fmt.Errorf("indices of shape %v for data of shape %v", index.Shape, shape)
	}
	for i, d := range index.Shape {
		if i != a && d > shape[i] {
			return nil, fmt.Errorf("indices of shape %v reach past data of shape %v", index.Shape, shape)
		}
	}
	list, err := indices(index.I, shape[a], true)
	if err != nil {
		return nil, err
	}
	strides := stridesOf(shape)
	w := walk{shape: index.Shape, strides: slices.Clone(strides)}
	w.strides[a] = 0
	at := make([]int, len(list))
	w.each(func(out, n, src, step int) {
		for i := range n {
			at[out+i] = src + i*step + list[out+i]*strides[a]
		}
	})
	return at, nil
}

// pick gathers blocks of n elements that begin at the given elements of v.
func (x *exec[T]) pick(v *Tensor[T], at []int, n int, shape []int) (*Tensor[T], error) {
	y, err := x.alloc(v.Type, shape)
	if err != nil {
		return nil, err
	}
	for k, i := range at {
		if v.Type.IsFloat() {
			copy(y.F[k*n:(k+1)*n], v.F[i:i+n])
		} else {
			copy(y.I[k*n:(k+1)*n], v.I[i:i+n])
		}
	}
	return y, nil
}

func gatherND[T kernel.Float](n *node) (compute[T], error) {
	batchDims := int64(0)
	if n.version >= 12 {
		batchDims = n.int("batch_dims", 0)
	}
	return func(x *exec[T], in []*Tensor[T]) ([]*Tensor[T], error) {
		v, index := in[0], in[1]
		at, n, err := x.slicesAt(v.Shape, index, batchDims)
		if err != nil {
			return nil, err
		}
		last := len(index.Shape) - 1
		shape := slices.Concat(index.Shape[:last], v.Shape[int(batchDims)+index.Shape[last]:])
		return one(x.pick(v, at, n, shape))
	}, nil
}

// slicesAt returns where the slices that index vectors (the last axis of index)
// name begin, and their length. The first batchDims axes are shared.
func (x *exec[T]) slicesAt(shape []int, index *Tensor[T], batchDims int64) (at []int, n int, err error) {
	last := len(index.Shape) - 1
	if last < 0 || batchDims < 0 || batchDims > int64(min(last, len(shape))) ||
		!slices.Equal(index.Shape[:batchDims], shape[:batchDims]) {
		return nil, 0, fmt.Errorf("indices of shape %v for data of shape %v with batch_dims %d", index.Shape, shape,
			batchDims)
	}
	b, width := int(batchDims), index.Shape[last]
	if b+width > len(shape) {
		return nil, 0, fmt.Errorf("index vectors of %d for data of shape %v with batch_dims %d", width, shape, b)
	}
	strides := stridesOf(shape)
	inner := product(shape[b+width:])
	vectors, err := count(index.Shape[:last], x.elements)
	if err != nil {
		return nil, 0, err
	}
	at = make([]int, vectors)
	perBatch := product(index.Shape[b:last])
	for k := range at {
		start := k / perBatch * product(shape[b:])
		for j := range width {
			list, err := indices(index.I[k*width+j:k*width+j+1], shape[b+j], true)
			if err != nil {
				return nil, 0, err
			}
			start += list[0] * strides[b+j]
		}
		at[k] = start
	}
	return at, inner, nil
}
