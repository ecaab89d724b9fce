package engine

import (
	"fmt"

	"efcn/internal/kernel"
	"efcn/onnxio"
)

// MaxPool (https://onnx.ai/onnx/operators/onnx__MaxPool.html) over 1 to 3 spatial
// axes. The second output, Indices, numbers the elements of the input row by row
// or, with storage_order 1, each of its planes column by column.
func init() {
	register(operator{name: "MaxPool", limits: "1 to 3 spatial axes", inputs: "n"}, maxPool[float32], maxPool[float64])
}

func maxPool[T kernel.Float](n *node) (compute[T], error) {
	n.need("kernel_shape")
	w := windowOf(n, n.version >= 10, n.version >= 10)
	indices := n.Output(1) != ""
	byColumn := n.version >= 8 && n.flag("storage_order", false)
	n.eitherLayout = !indices
	return func(x *exec[T], in []*Tensor[T]) ([]*Tensor[T], error) {
		v := in[0]
		y, g, err := x.pooled(v, w)
		if err != nil {
			return nil, err
		}
		out := []*Tensor[T]{y, nil}
		var argmax []int32
		if indices {
			if out[1], err = x.alloc(onnxio.Int64, y.Shape); err != nil {
				return nil, err
			}
			argmax = make([]int32, y.Len())
		}
		if y.Len() == 0 {
			return out, nil
		}
		if v.last {
			kernel.MaxPoolLast(g, v.Shape[0], v.Shape[1], v.F, y.F)
			return out, nil
		}
		planes := v.Shape[0] * v.Shape[1]
		src, dst := floatsOf(v), y.F
		if dst == nil {
			dst = make([]T, y.Len())
		}
		kernel.MaxPool(g, planes, src, dst, argmax)
		if y.F == nil {
			if v.Type.Size() > 1 {
				return nil, fmt.Errorf("%s is not supported here; int8, uint8 and floating point are", v.Type)
			}
			castToInt(y.I, dst, y.Type)
		}
		for k, at := range argmax {
			if byColumn {
				at = columnMajor(at, g.In)
			}
			out[1].I[k] = int64(k/g.OutSize()*g.InSize()) + int64(at)
		}
		return out, nil
	}, nil
}

// maxTaps bounds the taps of all windows along one axis; padding could make them
// many more than the elements there are.
const maxTaps = 1 << 28

// pooled works out a pooling's geometry on v and allocates its result.
func (x *exec[T]) pooled(v *Tensor[T], w window) (*Tensor[T], kernel.Window, error) {
	size, err := spatial(v.Shape)
	if err != nil {
		return nil, kernel.Window{}, err
	}
	taps, err := listOr("kernel_shape", w.kernelShape, len(size), 1)
	if err != nil {
		return nil, kernel.Window{}, err
	}
	g, err := w.resolve(size, taps)
	if err != nil {
		return nil, g, err
	}
	if err := g.Validate(); err != nil {
		return nil, g, err
	}
	for a, k := range g.Kernel {
		if k > maxTaps/max(1, g.Out[a]) {
			return nil, g, fmt.Errorf("kernel_shape %v over %v is absurdly large", g.Kernel, g.Out)
		}
	}
	shape := append([]int{v.Shape[0], v.Shape[1]}, g.Out...)
	y, err := x.fresh(v.Type, shape)
	if err == nil {
		y.last = v.last && !y.isLast()
	}
	return y, g, err
}

// columnMajor renumbers a position of a plane so that the first axis moves
// fastest.
func columnMajor(at int32, plane []int) int32 {
	n := 0
	for a := len(plane) - 1; a >= 0; a-- {
		n = n*plane[a] + int(at)%plane[a]
		at /= int32(plane[a])
	}
	return int32(n)
}
