package engine

import (
	"fmt"
	"slices"

	"efcn/internal/kernel"
)

// ScatterElements (Scatter before opset 11) and ScatterND
// (https://onnx.ai/onnx/operators/onnx__ScatterND.html) write updates into a copy
// of the data where the gathering operators would read; since version 16 they
// may combine with what is there.
func init() {
	register(operator{name: "Scatter", inputs: "viv"}, scatterElements[float32], scatterElements[float64])
	register(operator{name: "ScatterElements", inputs: "viv"}, scatterElements[float32], scatterElements[float64])
	register(operator{name: "ScatterND", inputs: "viv"}, scatterND[float32], scatterND[float64])
}

// combination reads the attribute reduction.
func combination(n *node) string {
	switch {
	case n.version >= 18:
		return n.string("reduction", "none", "add", "mul", "max", "min")
	case n.version >= 16:
		return n.string("reduction", "none", "add", "mul")
	default:
		return "none"
	}
}

func scatterElements[T kernel.Float](n *node) (compute[T], error) {
	axis, how := n.int("axis", 0), combination(n)
	return func(x *exec[T], in []*Tensor[T]) ([]*Tensor[T], error) {
		v, index, updates := in[0], in[1], in[2]
		if !slices.Equal(index.Shape, updates.Shape) {
			return nil, fmt.Errorf("indices of shape %v, updates of shape %v", index.Shape, updates.Shape)
		}
		at, err := elementsAlong(axis, v.Shape, index)
		if err != nil {
			return nil, err
		}
		return one(x.put(v, updates, at, 1, how))
	}, nil
}

func scatterND[T kernel.Float](n *node) (compute[T], error) {
	how := combination(n)
	return func(x *exec[T], in []*Tensor[T]) ([]*Tensor[T], error) {
		v, index, updates := in[0], in[1], in[2]
		at, n, err := x.slicesAt(v.Shape, index, 0)
		if err != nil {
			return nil, err
		}
		last := len(index.Shape) - 1
		if want := slices.Concat(index.Shape[:last], v.Shape[index.Shape[last]:]); !slices.Equal(updates.Shape, want) {
			return nil, fmt.Errorf("updates have shape %v; want %v", updates.Shape, want)
		}
		return one(x.put(v, updates, at, n, how))
	}, nil
}

// put writes blocks of n updates at the given elements of a copy of v, in order.
func (x *exec[T]) put(v, updates *Tensor[T], at []int, n int, how string) (*Tensor[T], error) {
	if updates.Type != v.Type {
		return nil, fmt.Errorf("updates are %s, the data %s", updates.Type, v.Type)
	}
	y, err := x.like(v)
	if err != nil {
		return nil, err
	}
	copy(y.F, v.F)
	copy(y.I, v.I)
	switch {
	case v.Type.IsFloat():
		putBlocks(y.F, updates.F, at, n, how)
	case isUnsigned(v.Type):
		putBlocks(unsigned(y.I), unsigned(updates.I), at, n, how)
	default:
		putBlocks(y.I, updates.I, at, n, how)
	}
	wrap(y.Type, y.I)
	return y, nil
}

func putBlocks[E number](dst, updates []E, at []int, n int, how string) {
	for k, i := range at {
		d, u := dst[i:i+n], updates[k*n:(k+1)*n]
		switch how {
		case "add":
			addRow(d, d, u)
		case "mul":
			mulRow(d, d, u)
		case "max":
			maxRow(d, d, u)
		case "min":
			minRow(d, d, u)
		default:
			copy(d, u)
		}
	}
}
