package verify

import (
	"efcn/internal/engine"
	"efcn/onnxio"
)

// movement is how an operator moves, repeats or selects elements, or takes their maxima. The
// bounds of the elements move with them.
type movement struct {
	// when reports whether a node of the operator does no more than that; nil: always.
	when func(node *onnxio.Node) bool
	// data reports whether input i holds elements that are moved; nil: the first alone does.
	// The others steer.
	data func(i int) bool
	// fill is an input with what is put in where no element is; 0 for none.
	fill int
	// as is the operator that does to the bounds what this one does to elements; "" for
	// itself. Of the smallest element, the bound is the largest too.
	as string
	// values claims that only the first output holds elements: the second has indices or a
	// mask.
	values bool
	// places claims that the second output says where elements are from, which may be
	// anywhere.
	places bool
	// sameShape claims that what steers it does not decide its shape.
	sameShape bool
}

// anyInput claims that all inputs hold elements.
func anyInput(int) bool { return true }

// moving returns how a node moves elements; nil if it does something else.
func (op *operator) moving(node *onnxio.Node) *movement {
	if op.moves == nil || op.moves.when != nil && !op.moves.when(node) {
		return nil
	}
	return op.moves
}

// interpolating reports whether a node makes numbers between elements.
func (op *operator) interpolating(node *onnxio.Node) bool {
	return op.interpolates != nil && op.interpolates(node)
}

// moved runs a node that moves elements on the bounds of its inputs.
func (b *bounds) moved(node *onnxio.Node, ds [][]float64) ([][]float64, error) {
	m, n := operatorOf(node).moves, *node
	if m.as != "" {
		n.OpType = m.as
	}
	if m.values {
		n.Outputs = n.Outputs[:1]
	}
	in := make([]*engine.Tensor[float64], len(node.Inputs))
	for i, name := range node.Inputs {
		v, err := b.value(name)
		if err != nil {
			return nil, err
		}
		data := i == 0 || m.data != nil && m.data(i)
		switch {
		case v == nil || i > 0 && i == m.fill && ds[i] == nil:
		case !data && i != m.fill && ds[i] != nil && b.net.constants[name] == nil: // what steers it may differ
			if !m.sameShape {
				b.loosen(node)
			}
			return b.unknown(node), nil
		case data || i == m.fill:
			in[i] = like(v, ds[i])
		default:
			in[i] = v
		}
	}
	out, err := b.run(&n, in...)
	if err != nil {
		return nil, err
	}
	bounds := make([][]float64, len(out))
	for i, v := range out {
		if v != nil {
			bounds[i] = v.F
		}
	}
	if m.places && node.Output(1) != "" {
		bounds = append(bounds, b.unknown(node)[1])
	}
	return bounds, nil
}

// selects reports whether an operator only selects and moves elements of its data, so that
// an eFCN may have a Gather of the vector for it.
func (op *operator) selects() bool { return op.selection != nil && op.windows == nil }
