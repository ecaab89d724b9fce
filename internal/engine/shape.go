package engine

import (
	"efcn/internal/kernel"
	"efcn/onnxio"
)

// Shape and Size (https://onnx.ai/onnx/operators/onnx__Shape.html). Since
// version 15 Shape cuts out a range of axes, clamped to those there are.
func init() {
	register(operator{name: "Shape", inputs: "v"}, shapeOf[float32], shapeOf[float64])
	register(operator{name: "Size", inputs: "v"}, sizeOf[float32], sizeOf[float64])
}

func shapeOf[T kernel.Float](n *node) (compute[T], error) {
	start, end := int64(0), int64(1<<31)
	if n.version >= 15 {
		start, end = n.int("start", start), n.int("end", end)
	}
	return func(_ *exec[T], in []*Tensor[T]) ([]*Tensor[T], error) {
		rank := int64(len(in[0].Shape))
		clamp := func(a int64) int64 {
			if a < 0 {
				a += rank
			}
			return max(0, min(a, rank))
		}
		dims := []int64{}
		for a := clamp(start); a < clamp(end); a++ {
			dims = append(dims, int64(in[0].Shape[a]))
		}
		return []*Tensor[T]{{Type: onnxio.Int64, Shape: []int{len(dims)}, I: dims}}, nil
	}, nil
}

func sizeOf[T kernel.Float](*node) (compute[T], error) {
	return func(_ *exec[T], in []*Tensor[T]) ([]*Tensor[T], error) {
		return []*Tensor[T]{{Type: onnxio.Int64, Shape: []int{}, I: []int64{int64(in[0].Len())}}}, nil
	}, nil
}
