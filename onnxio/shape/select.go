package shape

import (
	"fmt"
	"math"

	"efcn/onnxio"
)

func init() {
	register("TopK", op{rule: topK})
	register("OneHot", op{rule: oneHot})
	register("EyeLike", op{rule: eyeLike})
	register("NonZero", op{rule: nonZero})
	register("Compress", op{rule: compress})
}

// topK infers TopK-1, whose k is an attribute, and TopK-10/11 and later, whose
// k is an input: values, and indices as int64.
func topK(c *call) ([]*value, error) {
	x := c.in[0]
	k := c.s.unknownDim()
	if c.opset < 10 {
		v, err := c.Int("k", -1)
		if err != nil {
			return nil, err
		}
		k = fixed(v)
	} else {
		if list := c.in[1].ints; list != nil {
			if len(list) != 1 {
				return nil, fmt.Errorf("k has shape %v; want [1]", c.in[1])
			}
			if list[0].known() || list[0].isSize() {
				k = list[0]
			}
		}
	}
	if k.known() && k.coef < 0 {
		return nil, fmt.Errorf("k is %v; want 0 or more", k)
	}
	a, err := c.Int("axis", -1)
	if err != nil {
		return nil, err
	}
	if !x.ranked {
		return []*value{unshaped(x.elem), unshaped(onnxio.Int64)}, nil
	}
	at, err := c.axisOf(0, a)
	if err != nil {
		return nil, err
	}
	if d := x.dims[at]; d.known() && k.known() && k.coef > d.coef {
		return nil, fmt.Errorf("k is %v, more than axis %d of input %q of shape %v has", k, at, c.Input(0), x)
	}
	dims := append([]num(nil), x.dims...)
	dims[at] = k
	y := shaped(x.elem, dims)
	return []*value{y, y.like(onnxio.Int64)}, nil
}

// oneHot infers OneHot-9/11 and later: an axis of size depth is inserted.
func oneHot(c *call) ([]*value, error) {
	x, elem := c.in[0], c.in[2].elem
	a, err := c.Int("axis", -1)
	if err != nil {
		return nil, err
	}
	depth := c.s.unknownDim()
	if list := c.in[1].ints; len(list) == 1 && (list[0].known() || list[0].isSize()) {
		depth = list[0]
	}
	reals, known, err := c.in[1].numbers()
	if err != nil {
		return nil, err
	}
	if known && len(reals) == 1 && math.Abs(reals[0]) < 1<<62 {
		depth = fixed(int64(reals[0]))
	}
	if depth.known() && depth.coef < 0 {
		return nil, fmt.Errorf("depth is %v; want 0 or more", depth)
	}
	if !x.ranked {
		return []*value{unshaped(elem)}, nil
	}
	at, err := axis(a, x.rank()+1)
	if err != nil {
		return nil, fmt.Errorf("input %q of shape %v: %w", c.Input(0), x, err)
	}
	dims := append([]num(nil), x.dims[:at]...)
	dims = append(append(dims, depth), x.dims[at:]...)
	return []*value{shaped(elem, dims)}, nil
}

// eyeLike infers EyeLike-9/22: the input's shape, and its type unless dtype
// says another.
func eyeLike(c *call) ([]*value, error) {
	if err := c.wantRank(0, 2); err != nil {
		return nil, err
	}
	dtype, err := c.Int("dtype", int64(c.in[0].elem))
	if err != nil {
		return nil, err
	}
	return []*value{c.in[0].like(onnxio.DataType(dtype))}, nil
}

// nonZero infers NonZero-9/13: int64 [rank, count].
func nonZero(c *call) ([]*value, error) {
	rank := c.s.unknownDim()
	if c.in[0].ranked {
		rank = fixed(int64(c.in[0].rank()))
	}
	return []*value{shaped(onnxio.Int64, []num{rank, c.s.unknownDim()})}, nil
}

// compress infers Compress-9/11 and later: how many are kept depends on the
// condition, which a model may compute from shapes.
func compress(c *call) ([]*value, error) {
	x := c.in[0]
	if c.Attr("axis") == nil {
		size := c.s.unknownDim()
		if n, ok := x.count(); ok {
			size = c.kept(fixed(n))
		}
		return []*value{shaped(x.elem, []num{size})}, nil
	}
	a, err := c.Int("axis", 0)
	if err != nil || !x.ranked {
		return []*value{unshaped(x.elem)}, err
	}
	at, err := c.axisOf(0, a)
	if err != nil {
		return nil, err
	}
	dims := append([]num(nil), x.dims...)
	dims[at] = c.kept(dims[at])
	return []*value{shaped(x.elem, dims)}, nil
}

// kept returns how many of an axis of that size the condition of a Compress keeps.
// It may be shorter than the axis.
func (c *call) kept(size num) num {
	condition, ok := c.in[1].constants()
	if !ok || !size.known() {
		return c.s.unknownDim()
	}
	n := int64(0)
	for i, keep := range condition {
		if keep != 0 && int64(i) < size.coef {
			n++
		}
	}
	return fixed(n)
}
