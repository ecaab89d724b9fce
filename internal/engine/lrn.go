package engine

import (
	"fmt"
	"math"

	"efcn/internal/kernel"
)

// LRN (https://onnx.ai/onnx/operators/onnx__LRN.html), local response
// normalization over size channels around each.
func init() {
	register(operator{name: "LRN", inputs: "f"}, lrn[float32], lrn[float64])
}

func lrn[T kernel.Float](n *node) (compute[T], error) {
	n.need("size")
	size := n.int("size", 1)
	alpha, beta, bias := n.float("alpha", 1e-4), n.float("beta", 0.75), n.float("bias", 1)
	if size < 1 || size > math.MaxInt32 {
		n.refuse("attribute size: want at least 1, got %d", size)
	}
	return func(x *exec[T], in []*Tensor[T]) ([]*Tensor[T], error) {
		v := in[0]
		if len(v.Shape) < 2 {
			return nil, fmt.Errorf("input has shape %v; want batch and channels", v.Shape)
		}
		y, err := x.like(v)
		if err != nil {
			return nil, err
		}
		before, after := int(size-1)/2, int(size)/2
		outer, channels, inner := around(v.Shape, 1)
		onLines(y.F, v.F, outer, channels, channels, inner, func(dst, src []T) {
			for c := range src {
				sum := squares(src[max(0, c-before):min(channels, c+after+1)])
				dst[c] = T(float64(src[c]) / math.Pow(bias+alpha/float64(size)*sum, beta))
			}
		})
		return []*Tensor[T]{y}, nil
	}, nil
}
