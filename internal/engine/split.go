package engine

import (
	"fmt"
	"slices"

	"efcn/internal/kernel"
)

// Split (https://onnx.ai/onnx/operators/onnx__Split.html) along an axis, in given
// sizes (an attribute before version 13, an input since) or in equal parts; since
// version 18 the last part may be smaller.
func init() {
	register(operator{name: "Split", inputs: "vi"}, split[float32], split[float64])
}

func split[T kernel.Float](n *node) (compute[T], error) {
	axis := n.int("axis", 0)
	parts := int64(len(n.Outputs))
	if parts == 0 {
		n.refuse("the node has no outputs")
	}
	uneven := n.version >= 18
	if uneven {
		if p := n.int("num_outputs", parts); p != parts {
			n.refuse("attribute num_outputs: %d, the node has %d outputs", p, parts)
		}
	}
	var fixed []int64
	given := false
	if n.version < 13 {
		fixed, given = n.ints("split"), n.has("split")
		if len(n.Inputs) > 1 {
			n.refuse("version %d takes its sizes as an attribute, not an input", n.version)
		}
	}
	return func(x *exec[T], in []*Tensor[T]) ([]*Tensor[T], error) {
		v, sizes := in[0], fixed
		a, err := axisIndex(axis, len(v.Shape))
		if err != nil {
			return nil, err
		}
		switch {
		case in[1] != nil:
			sizes, err = intVector("split", in[1])
		case !given:
			sizes, err = equalParts(v.Shape, a, parts, uneven)
		}
		if err != nil {
			return nil, err
		}
		dims, err := toDims(sizes)
		if err != nil {
			return nil, err
		}
		total := 0
		for _, d := range dims {
			total += d
		}
		if len(dims) != len(n.Outputs) || total != v.Shape[a] {
			return nil, fmt.Errorf("sizes %v for %d outputs of axis %d of %v", sizes, len(n.Outputs), a, v.Shape)
		}
		return x.cut(v, a, dims)
	}, nil
}

// equalParts returns the sizes of an axis cut into so many parts; uneven allows the
// last ones to be smaller.
func equalParts(shape []int, axis int, parts int64, uneven bool) ([]int64, error) {
	d := int64(shape[axis])
	if d%parts != 0 && !uneven {
		return nil, fmt.Errorf("axis %d of %v does not divide into %d parts", axis, shape, parts)
	}
	var sizes []int64
	size := (d + parts - 1) / parts
	for left := d; int64(len(sizes)) < parts; left -= size {
		sizes = append(sizes, max(0, min(size, left)))
	}
	return sizes, nil
}

// cut returns the parts of v, of those sizes along an axis.
func (x *exec[T]) cut(v *Tensor[T], axis int, sizes []int) ([]*Tensor[T], error) {
	outer, whole, inner := around(v.Shape, axis)
	out, at := make([]*Tensor[T], len(sizes)), 0
	for i, d := range sizes {
		shape := slices.Clone(v.Shape)
		shape[axis] = d
		var err error
		if out[i], err = x.alloc(v.Type, shape); err != nil {
			return nil, err
		}
		if out[i].Len() > 0 {
			if v.Type.IsFloat() {
				copyBlocks(out[i].F, 0, d*inner, v.F, at, whole*inner, outer, d*inner)
			} else {
				copyBlocks(out[i].I, 0, d*inner, v.I, at, whole*inner, outer, d*inner)
			}
		}
		at += d * inner
	}
	return out, nil
}
