package engine

import (
	"fmt"

	"efcn/internal/kernel"
)

// Tile (https://onnx.ai/onnx/operators/onnx__Tile.html) repeats a value along
// every axis.
func init() {
	register(operator{name: "Tile", inputs: "vi"}, tile[float32], tile[float64])
}

func tile[T kernel.Float](*node) (compute[T], error) {
	return func(x *exec[T], in []*Tensor[T]) ([]*Tensor[T], error) {
		v := in[0]
		repeats, err := dimsVector("repeats", in[1])
		if err != nil {
			return nil, err
		}
		if len(repeats) != len(v.Shape) {
			return nil, fmt.Errorf("repeats: want %d values, got %d", len(v.Shape), len(repeats))
		}
		shape := make([]int, len(v.Shape))
		// Seen with an axis of repetitions before each axis, it is a broadcast.
		w := walk{}
		for a, s := range stridesOf(v.Shape) {
			shape[a] = v.Shape[a] * repeats[a]
			w.shape = append(w.shape, repeats[a], v.Shape[a])
			w.strides = append(w.strides, 0, s)
		}
		return one(x.rearranged(v, shape, w))
	}, nil
}
