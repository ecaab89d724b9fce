package engine

import (
	"fmt"

	"efcn/internal/kernel"
)

// DepthToSpace and SpaceToDepth
// (https://onnx.ai/onnx/operators/onnx__DepthToSpace.html) move blocks between the
// channels and the spatial axes. In mode DCR the position in the block
// moves slower than the channel, in CRD faster; DepthToSpace has the modes since
// version 11, SpaceToDepth since 28.
func init() {
	register(operator{name: "DepthToSpace", inputs: "v"}, depthToSpace[float32], depthToSpace[float64])
	register(operator{name: "SpaceToDepth", inputs: "v"}, spaceToDepth[float32], spaceToDepth[float64])
}

func blockSize(n *node) int {
	n.need("blocksize")
	b := n.int("blocksize", 1)
	if b < 1 || b > 1<<15 {
		n.refuse("attribute blocksize: want at least 1, got %d", b)
		return 1
	}
	return int(b)
}

func depthToSpace[T kernel.Float](n *node) (compute[T], error) {
	b, mode := blockSize(n), "DCR"
	if n.version >= 11 {
		mode = n.string("mode", "DCR", "CRD")
	}
	return func(x *exec[T], in []*Tensor[T]) ([]*Tensor[T], error) {
		v := in[0]
		if len(v.Shape) != 4 || v.Shape[1]%(b*b) != 0 {
			return nil, fmt.Errorf("input has shape %v; want [N, C, H, W] with C a multiple of %d", v.Shape, b*b)
		}
		batch, c, h, w := v.Shape[0], v.Shape[1]/(b*b), v.Shape[2], v.Shape[3]
		split, order := []int{batch, b, b, c, h, w}, []int{0, 3, 4, 1, 5, 2}
		if mode == "CRD" {
			split, order = []int{batch, c, b, b, h, w}, []int{0, 1, 4, 2, 5, 3}
		}
		y, err := x.transpose(v.reshaped(split), order)
		if err != nil {
			return nil, err
		}
		return []*Tensor[T]{y.reshaped([]int{batch, c, h * b, w * b})}, nil
	}, nil
}

func spaceToDepth[T kernel.Float](n *node) (compute[T], error) {
	b, mode := blockSize(n), "DCR"
	if n.version >= 28 {
		mode = n.string("mode", "DCR", "CRD")
	}
	return func(x *exec[T], in []*Tensor[T]) ([]*Tensor[T], error) {
		v := in[0]
		if len(v.Shape) != 4 || v.Shape[2]%b != 0 || v.Shape[3]%b != 0 {
			return nil, fmt.Errorf("input has shape %v; want [N, C, H, W] with H and W multiples of %d", v.Shape, b)
		}
		batch, c, h, w := v.Shape[0], v.Shape[1], v.Shape[2]/b, v.Shape[3]/b
		order := []int{0, 3, 5, 1, 2, 4}
		if mode == "CRD" {
			order = []int{0, 1, 3, 5, 2, 4}
		}
		y, err := x.transpose(v.reshaped([]int{batch, c, h, b, w, b}), order)
		if err != nil {
			return nil, err
		}
		return []*Tensor[T]{y.reshaped([]int{batch, c * b * b, h, w})}, nil
	}, nil
}
