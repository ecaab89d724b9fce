package engine

import (
	"efcn/internal/kernel"
)

// Expand (https://onnx.ai/onnx/operators/onnx__Expand.html) broadcasts a value
// and a shape with each other.
func init() {
	register(operator{name: "Expand", inputs: "vi"}, expand[float32], expand[float64])
}

func expand[T kernel.Float](*node) (compute[T], error) {
	return func(x *exec[T], in []*Tensor[T]) ([]*Tensor[T], error) {
		v := in[0]
		want, err := dimsVector("shape", in[1])
		if err != nil {
			return nil, err
		}
		shape, err := broadcastShape(v.Shape, want)
		if err != nil {
			return nil, err
		}
		return one(x.rearranged(v, shape, broadcastWalk(v.Shape, shape)))
	}, nil
}

// broadcastWalk visits a source in the order of the shape that it broadcasts to.
func broadcastWalk(from, to []int) walk {
	w := walk{shape: to, strides: make([]int, len(to))}
	for i, s := range stridesOf(from) {
		if from[i] != 1 {
			w.strides[len(to)-len(from)+i] = s
		}
	}
	return w
}
