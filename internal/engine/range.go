package engine

import (
	"errors"
	"fmt"
	"math"

	"efcn/internal/kernel"
)

// Range (https://onnx.ai/onnx/operators/onnx__Range.html): start, start+delta, …
// up to limit, which is not included.
func init() {
	register(operator{name: "Range", inputs: "nnn"}, rangeOf[float32], rangeOf[float64])
}

func rangeOf[T kernel.Float](n *node) (compute[T], error) {
	if n.version >= 27 {
		n.ignore("stash_type") // the precision of 16-bit types, which are held wider
	}
	return func(x *exec[T], in []*Tensor[T]) ([]*Tensor[T], error) {
		start, limit, delta := in[0], in[1], in[2]
		for _, v := range in {
			if v.Len() != 1 || v.Type != start.Type {
				return nil, fmt.Errorf("operands are %s and %s of shape %v; want scalars of one type", start.Type,
					v.Type, v.Shape)
			}
		}
		var size float64
		if start.Type.IsFloat() {
			size = math.Ceil((float64(limit.F[0]) - float64(start.F[0])) / float64(delta.F[0]))
		} else {
			if delta.I[0] == 0 {
				return nil, errors.New("delta is 0")
			}
			size = intRange(start.I[0], limit.I[0], delta.I[0])
		}
		if math.IsNaN(size) || size > float64(x.elements) {
			return nil, fmt.Errorf("a range of %v elements: %w (at most %d)", size, errTooMany, x.elements)
		}
		y, err := x.alloc(start.Type, []int{int(max(size, 0))})
		if err != nil {
			return nil, err
		}
		for i := range y.F {
			y.F[i] = start.F[0] + T(i)*delta.F[0]
		}
		for i := range y.I {
			y.I[i] = start.I[0] + int64(i)*delta.I[0]
		}
		return []*Tensor[T]{y}, nil
	}, nil
}

// intRange counts the elements exactly where they are few enough to allocate.
func intRange(start, limit, delta int64) float64 {
	if approx := (float64(limit) - float64(start)) / float64(delta); math.Abs(approx) > 1<<52 {
		return approx
	}
	n := (limit - start) / delta
	if (limit-start)%delta != 0 && (limit-start > 0) == (delta > 0) {
		n++
	}
	return float64(n)
}
