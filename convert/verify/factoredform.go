package verify

import (
	"fmt"
	"math"
	"slices"

	"efcn/onnxio"
)

// factoredNodes are the nodes of a factored layer, recognised from its end:
//
//	x → the local form → y₁ [N, out]
//	x → Gemm with V [r, in] → Gemm with U [out, r] → y₂ [N, out]
//	Add(y₁, y₂)
//
// so that y = (L + U·V)·x + b, L what the local form stores. Where U is zero, y₂ is zero
// for every x with which V·x is finite, and y is y₁.
type factoredNodes struct {
	local       *localNodes
	right, left *onnxio.Node // with V and with U; nil from the first on that is not there
	add         *onnxio.Node
}

// factoredForm returns the nodes of the factored layer that ends with node; nil if that
// is no such layer.
func (n *net) factoredForm(end *onnxio.Node) *factoredNodes {
	if !isOp(end, "Add") || n.constants[end.Input(1)] != nil {
		return nil
	}
	f := &factoredNodes{add: end, local: n.localForm(n.Producer(end.Input(0)))}
	if f.local == nil {
		return nil
	}
	if f.left = n.maker(end.Input(1), "Gemm"); f.left != nil {
		f.right = n.maker(f.left.Input(0), "Gemm")
	}
	return f
}

// localPart returns the nodes of the local form in the layer that ends with node, which
// is that form or has factors beside it; nil if there are none.
func (n *net) localPart(end *onnxio.Node) *localNodes {
	if f := n.factoredForm(end); f != nil {
		return f.local
	}
	return n.localForm(end)
}

// factored checks what a factored layer has besides the local form: U is zero, V finite.
func (s *structure) factored(f *factoredNodes, m *matrix, in layerInput, row *Layer) {
	if f.local.add != nil {
		s.expected[f.local.add] = true
	}
	if f.left == nil {
		s.fault("node", f.add, row.Output, "its input 1 is not what a Gemm makes")
		return
	}
	s.expected[f.left] = true
	if f.right == nil {
		s.fault("node", f.left, row.Output, "its input 0 is not what a Gemm makes")
		return
	}
	s.expected[f.right] = true
	in.wire(f.right)
	u, v := s.factor(f.left, row), s.factor(f.right, row)
	if u == nil || v == nil {
		return
	}
	outputs := int64(-1) // as many as the local form has
	if m != nil {
		outputs = int64(m.rows)
	} else if w := s.efcn.constants[f.local.product.Input(0)]; len(w.Dims) == 4 {
		outputs = w.Dims[0] * w.Dims[1] * w.Dims[2]
	}
	if rank := v.Dims[0]; rank < 1 || u.Dims[0] != outputs || u.Dims[1] != rank || v.Dims[1] != int64(in.size) {
		s.fault("node", f.add, row.Output, "its factors are U %q %v and V %q %v; want [%d r] and [r %d]", u.Name, u.Dims,
			v.Name, v.Dims, outputs, in.size)
		return
	}
	if s.others {
		return
	}
	s.zeroFactor(f.left, u, m, row)
	s.finiteFactor(f.right, v, m, row)
}

// factor returns the matrix that a Gemm of a factored layer multiplies with, and reports
// what else the node does; nil where there is no such matrix.
func (s *structure) factor(node *onnxio.Node, row *Layer) *onnxio.Tensor {
	if err := plainGemm(node); err != nil {
		s.fault("attribute", node, row.Output, "%v", err)
	}
	if name := node.Input(2); name != "" {
		s.fault("bias", node, row.Output, "it adds %q; want nothing", name)
	}
	name := node.Input(1)
	t := s.efcn.constants[name]
	switch {
	case t == nil || s.efcn.sparse[name] != nil:
		s.fault("node", node, row.Output, "its factor %q is no dense constant", name)
		return nil
	case t.Type != onnxio.Float32 || len(t.Dims) != 2 || t.Data == nil:
		s.fault("node", node, row.Output, "its factor %q is %s %v; want a float32 matrix", name, t.Type, t.Dims)
		return nil
	}
	return t
}

// zeroFactor checks that all of U is +0. −0 would add nothing either, but no conversion
// writes it: as elsewhere, what is stored has to be the same bits.
func (s *structure) zeroFactor(node *onnxio.Node, u *onnxio.Tensor, m *matrix, row *Layer) {
	s.compared += u.Dims[0] * u.Dims[1]
	s.eachFactor(node, u, row, entriesOfFactor{
		factor: "U", want: hex(0), wrong: "wrong",
		right: func(v float32) bool { return math.Float32bits(v) == 0 },
		place: func(r, k int) string {
			output := fmt.Sprint(r)
			if m != nil {
				output = fmt.Sprint(unravel(r, m.outShape))
			}
			return fmt.Sprintf("output %s of layer %q and factor %d", output, row.Node, k)
		},
	})
}

// finiteFactor checks that all of V is finite: zero times something else is no zero.
func (s *structure) finiteFactor(node *onnxio.Node, v *onnxio.Tensor, m *matrix, row *Layer) {
	s.eachFactor(node, v, row, entriesOfFactor{
		factor: "V", want: "a finite number", wrong: "not finite",
		right: func(v float32) bool { return v-v == 0 },
		place: func(k, c int) string {
			input := fmt.Sprint(c)
			if m != nil {
				input = fmt.Sprint(unravel(c, m.inShape))
			}
			return fmt.Sprintf("factor %d and input %s of layer %q", k, input, row.Node)
		},
	})
}

// entriesOfFactor says which entries of a factor are right, and how to report others.
type entriesOfFactor struct {
	factor, want, wrong string
	right               func(v float32) bool
	place               func(row, col int) string
}

// eachFactor looks at every element of a factor as it is read.
func (s *structure) eachFactor(node *onnxio.Node, t *onnxio.Tensor, row *Layer, e entriesOfFactor) {
	var read, wrong, first int64
	var value float32 // of the first that is wrong
	for block, err := range onnxio.FloatBlocks[float32](t, 1<<14) {
		if err != nil {
			s.fault("node", node, row.Output, "its factor %q cannot be read: %v", t.Name, err)
			break
		}
		for _, v := range block {
			if !e.right(v) {
				if wrong == 0 {
					first, value = read, v
				}
				wrong++
			}
			read++
		}
	}
	if wrong == 0 {
		return
	}
	row.Wrong += wrong
	r, c := int(first/t.Dims[1]), int(first%t.Dims[1])
	s.fault("entry", node, row.Output,
		"entry of %s (row %d, column %d of %s %q): want %s, got %s; %d of %d entries are %s",
		e.place(r, c), r, c, e.factor, t.Name, e.want, hexOf(value), wrong, t.Dims[0]*t.Dims[1], e.wrong)
}

// factoredRow is row r of a factored layer, L + U·V; nil where one of its nodes is not
// what that form has.
func (n *net) factoredRow(f *factoredNodes, r int) (*affineRow, error) {
	local, err := n.localRow(f.local, r)
	if local == nil || err != nil || f.left == nil || f.right == nil ||
		n.constants[f.left.Input(1)] == nil || n.constants[f.right.Input(1)] == nil ||
		n.origin(f.right.Input(0)) != n.origin(local.input) {
		return nil, err
	}
	left, err := n.gemmRow(f.left, r)
	if left == nil || err != nil {
		return nil, err
	}
	at := make(map[int]float64)
	add := func(row *affineRow, factor float64) {
		for i, c := range row.columns {
			at[c] += factor * row.weights[i]
		}
	}
	add(local, 1)
	sum := &affineRow{input: local.input, bias: local.bias + left.bias}
	for i, k := range left.columns {
		right, err := n.gemmRow(f.right, k)
		if right == nil || err != nil {
			return nil, err
		}
		add(right, left.weights[i])
		sum.bias += left.weights[i] * right.bias
	}
	for c := range at {
		sum.columns = append(sum.columns, c)
	}
	slices.Sort(sum.columns)
	for _, c := range sum.columns {
		sum.weights = append(sum.weights, at[c])
	}
	return sum, nil
}
