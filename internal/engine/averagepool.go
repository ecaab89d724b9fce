package engine

import (
	"efcn/internal/kernel"
)

// AveragePool (https://onnx.ai/onnx/operators/onnx__AveragePool.html) over 1 to 3
// spatial axes. With count_include_pad the padding counts as zeros; positions
// that ceil_mode adds beyond the padding never do.
func init() {
	register(operator{name: "AveragePool", limits: "1 to 3 spatial axes", inputs: "f"}, averagePool[float32],
		averagePool[float64])
}

func averagePool[T kernel.Float](n *node) (compute[T], error) {
	n.need("kernel_shape")
	w := windowOf(n, n.version >= 19, n.version >= 10)
	includePad := n.flag("count_include_pad", false)
	n.eitherLayout = true
	return func(x *exec[T], in []*Tensor[T]) ([]*Tensor[T], error) {
		v := in[0]
		y, g, err := x.pooled(v, w)
		if err != nil || len(y.F) == 0 {
			return one(y, err)
		}
		if v.last {
			kernel.AveragePoolLast(g, includePad, v.Shape[0], v.Shape[1], v.F, y.F)
			return []*Tensor[T]{y}, nil
		}
		kernel.AveragePool(g, includePad, v.Shape[0]*v.Shape[1], v.F, y.F)
		return []*Tensor[T]{y}, nil
	}, nil
}
