package verify

import (
	"errors"
	"fmt"

	"efcn/convert/record"
	"efcn/onnxio"
)

// layer checks one layer of the record.
func (s *structure) layer(rec *record.Layer) {
	source := s.cnn.Producer(rec.Source)
	if source == nil {
		s.fault("record", nil, rec.Source,
			"the record names it as the source of layer %q, but the CNN does not compute it", rec.Node)
		return
	}
	row := Layer{Node: source.Label(), Op: source.OpType, Output: rec.Output, Structure: OK}
	before := len(s.report.Findings)
	s.seen[source] = true
	data := s.cnn.dataOf(source)
	shape := s.shapes[source.Input(data)]
	m, err := s.cnn.matrixOf(source, shape, s.shapes[source.Output(0)])
	node := s.held[rec.Output]
	in := layerInput{
		size: product(shape[min(1, len(shape)):]),
		wire: func(node *onnxio.Node) { s.wire(source, node, data, 0) },
	}
	if errors.Is(err, errNoMatrix) && node != nil {
		s.form(source, node, rec, nil, in, &row)
		row.Structure = Skipped
		if len(s.report.Findings) > before {
			row.Structure = Failed
		}
		s.unknown++
		s.report.Layers = append(s.report.Layers, row)
		return
	}
	if err == nil && rec.Output != rec.Source {
		m, err = s.foldInto(m, rec, &row)
	}
	if err != nil {
		s.fault("node", source, rec.Source, "%v", err)
	} else {
		row.Rows, row.Cols = m.rows, m.cols
		if node == nil {
			s.fault("node", source, rec.Output, "the eFCN has no value %q", rec.Output)
		} else {
			s.form(source, node, rec, m, in, &row)
		}
	}
	if len(s.report.Findings) > before {
		row.Structure = Failed
	}
	s.report.Layers = append(s.report.Layers, row)
}

// foldInto multiplies the BatchNormalization into m that lies between the
// source and the output of a layer.
func (s *structure) foldInto(m *matrix, rec *record.Layer, row *Layer) (*matrix, error) {
	bn := s.cnn.Producer(rec.Output)
	op := operatorOf(bn)
	if op.normalization == nil || bn.Input(0) != rec.Source {
		return nil, fmt.Errorf("the record says that %q was multiplied in, which is no BatchNormalization of %q",
			rec.Output, rec.Source)
	}
	if s.cnn.SoleReader(rec.Source) == nil {
		return nil, fmt.Errorf("%q was multiplied in, but other nodes or the graph's outputs use %q", bn.Label(),
			rec.Source)
	}
	s.seen[bn] = true
	row.Folded = append(row.Folded, bn.Label())
	norm, err := op.normalization(s.cnn, bn, m.outShape[0])
	if err != nil {
		return nil, bn.Wrap(err)
	}
	return m.scaled(norm), nil
}

// layerInput is what a layer of the eFCN is applied to: how many elements, and
// a check that input 0 of a node is it.
type layerInput struct {
	size int
	wire func(node *onnxio.Node)
}

// form checks the nodes of the eFCN that end with node, in whatever layout they
// are, against the matrix that they have to be. m is nil where that is not known.
func (s *structure) form(source, node *onnxio.Node, rec *record.Layer, m *matrix, in layerInput, row *Layer) {
	s.expected[node] = true
	local := s.efcn.localPart(node)
	found := storage{layout: record.Dense, weight: node.Input(1), bias: node.Input(2)}
	switch {
	case local != nil:
		found = storage{
			layout: record.Local, weight: local.product.Input(0), bias: local.biasName(), index: local.gatherIndex(),
		}
		s.local(local, m, in, row)
		if f := s.efcn.factoredForm(node); f != nil {
			found.factor(s.efcn, f)
			s.factored(f, m, in, row)
		}
	case s.cnn.multipliesVectors(source, s.shapes[source.Input(0)]) && len(row.Folded) == 0 && len(rec.Factors) == 0:
		row.Layout = record.Dense
		s.kept(source, node)
		row.NonZeros = int64(row.Rows) * int64(row.Cols)
		s.compared += row.NonZeros
		return
	case !isOp(node, "Gemm"):
		s.fault("node", source, row.Output,
			"the eFCN computes it with node %q (%s); "+
				"want Gemm, or Reshape, Transpose, Gather, MatMul, Transpose, Flatten, or the Add of that and two Gemm",
			node.Label(), node.QualifiedOp())
		return
	default:
		if s.efcn.sparse[node.Input(1)] != nil {
			found.layout = record.Sparse
		}
		s.gemm(node, m, row)
		in.wire(node)
	}
	row.Layout = found.layout
	if recorded := storageOf(rec); recorded != found {
		s.fault("record", node, row.Output, "the record says %v; it is %v", recorded, found)
	}
}

// storage is how a layer is stored: what a record has of it, and what is found.
type storage struct {
	layout              record.Layout
	weight, bias, index string
	left, right         string // the factors U and V
	rank                int64
}

func storageOf(rec *record.Layer) storage {
	return storage{rec.Layout, rec.Weight, rec.Bias, rec.Index, rec.Left, rec.Right, rec.Rank}
}

func (s storage) String() string {
	text := fmt.Sprintf("%s with weight %q, bias %q and index %q", s.layout, s.weight, s.bias, s.index)
	if s.left != "" || s.right != "" || s.rank != 0 {
		text += fmt.Sprintf(", U %q and V %q of rank %d", s.left, s.right, s.rank)
	}
	return text
}

// factor makes it that of a factored layer.
func (s *storage) factor(n *net, f *factoredNodes) {
	s.layout = record.Factored
	if f.left != nil {
		s.left = f.left.Input(1)
	}
	if f.right != nil {
		s.right = f.right.Input(1)
	}
	if v := n.constants[s.right]; v != nil && len(v.Dims) == 2 {
		s.rank = v.Dims[0]
	}
}

// gemm compares a Gemm of the eFCN with a dense or sparse matrix.
func (s *structure) gemm(node *onnxio.Node, m *matrix, row *Layer) {
	if err := plainGemm(node); err != nil {
		s.fault("attribute", node, row.Output, "%v", err)
		return
	}
	if m == nil {
		return
	}
	var whole bool
	if sparse := s.efcn.sparse[node.Input(1)]; sparse != nil {
		whole = s.sparse(node, sparse, m, row)
	} else {
		whole = s.dense(node, s.efcn.constants[node.Input(1)], m, row)
	}
	if whole {
		s.bias(node, 2, m, row)
	}
}

// dense compares a matrix stored with all its entries, and reports whether it could
// be read.
func (s *structure) dense(node *onnxio.Node, weight *onnxio.Tensor, m *matrix, row *Layer) bool {
	switch {
	case weight == nil:
		s.fault("node", node, row.Output, "its matrix %q is no constant", node.Input(1))
		return false
	case weight.Type != onnxio.Float32 || len(weight.Dims) != 2 || weight.Dims[0] != int64(m.rows) ||
		weight.Dims[1] != int64(m.cols):
		s.fault("node", node, row.Output, "its matrix %q is %s %v; want float32 [%d %d]", weight.Name, weight.Type,
			weight.Dims, m.rows, m.cols)
		return false
	}
	if s.others {
		return true
	}
	c := newRowChecker(m)
	err := c.check(weight)
	s.compared += c.done.Load() * int64(c.cols)
	row.NonZeros, row.Wrong = c.nonzero.Load(), c.wrong
	if err != nil {
		s.fault("node", node, row.Output, "its matrix %q cannot be read: %v", weight.Name, err)
		return false
	}
	if c.wrong > 0 {
		d := c.first
		s.fault("entry", node, row.Output,
			"entry of %s (row %d, column %d of %q): want %s, got %s; %d of %d entries are wrong",
			m.place(d.row, d.col), d.row, d.col, weight.Name, hex(d.want), hex(d.got), c.wrong,
			int64(m.rows)*int64(m.cols))
	}
	return true
}

// bias compares the bias of a layer, input i of a Gemm or Add.
func (s *structure) bias(node *onnxio.Node, i int, m *matrix, row *Layer) {
	got, dims, ok, err := s.efcn.floats(node, i)
	switch {
	case err != nil:
		s.fault("bias", node, row.Output, "%v", err)
		return
	case !ok && m.hasBias:
		s.fault("bias", node, row.Output, "the bias of the CNN's node %q is missing", row.Node)
		return
	case !ok:
		return
	case len(got) != m.rows:
		s.fault("bias", node, row.Output, "bias %q is %v; want [%d]", node.Input(i), dims, m.rows)
		return
	}
	s.compared += int64(len(got))
	for r, v := range got {
		want, slack := 0.0, 0.0
		if m.hasBias {
			want, slack = m.bias(r)
		}
		if !accepts(v, want, slack) {
			row.Wrong++
			s.fault("bias", node, row.Output, "bias of output %v (row %d of %q): want %s, got %s",
				unravel(r, m.outShape), r, node.Input(i), hexOf(float32(want)), hexOf(v))
			return
		}
	}
}
