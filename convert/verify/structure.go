package verify

import (
	"context"
	"errors"
	"fmt"

	"efcn/convert"
	"efcn/onnxio"
)

// structure is the first check: node by node, does the eFCN hold what the CNN
// says and nothing else?
type structure struct {
	cnn, efcn *net
	record    *convert.Record
	shapes    map[string][]int // of the CNN's values when it ran on one sample
	report    *Report

	held     map[string]*onnxio.Node // CNN value -> the first node of the eFCN that computes it
	expected map[*onnxio.Node]bool   // nodes of the eFCN that are accounted for
	seen     map[*onnxio.Node]bool   // nodes of the CNN that are accounted for
	compared int64                   // entries
	unknown  int                     // layers of which no matrix is known
}

func newStructure(cnn, efcn *net, record *convert.Record, shapes map[string][]int, report *Report) *structure {
	s := &structure{
		cnn: cnn, efcn: efcn, record: record, shapes: shapes, report: report,
		held:     heldBy(cnn, efcn),
		expected: make(map[*onnxio.Node]bool),
		seen:     make(map[*onnxio.Node]bool),
	}
	return s
}

// heldBy returns, for every value of the CNN that the eFCN has in some form,
// the first node of the eFCN that computes it.
func heldBy(cnn, efcn *net) map[string]*onnxio.Node {
	held := make(map[string]*onnxio.Node)
	for _, node := range efcn.graph.Nodes {
		for _, name := range node.Outputs {
			if v, ok := cnn.valueOf(name); ok && name != "" && held[v] == nil {
				held[v] = node
			}
		}
	}
	return held
}

// check runs the whole check and appends its outcome to the report.
func (s *structure) check(ctx context.Context) error {
	before := len(s.report.Findings)
	for i := range s.record.Layers {
		if err := ctx.Err(); err != nil {
			return err
		}
		s.layer(&s.record.Layers[i])
	}
	needed := s.cnn.needed()
	for _, node := range s.cnn.graph.Nodes {
		if !s.seen[node] && needed[node] {
			s.unrecorded(node)
		}
	}
	for _, node := range s.efcn.graph.Nodes {
		if !s.expected[node] && !reshapes(node) {
			s.surplus(node, needed)
		}
	}
	for _, out := range s.cnn.graph.Outputs {
		if want, got := s.cnnOrigin(out.Name), s.efcnOrigin(out.Name); got != want {
			s.fault("node", nil, out.Name, "the eFCN gives %q for it; in the CNN it is %q", got, want)
		}
	}
	c := Check{Name: Structure, Status: OK}
	c.Summary = fmt.Sprintf("%d layers, %d stored entries compared bit for bit with the CNN's parameters", len(s.record.Layers), s.compared)
	if s.unknown > 0 {
		c.Summary += fmt.Sprintf("; of %d layers the matrix is not known here and only running them speaks for it", s.unknown)
	}
	if n := len(s.report.Findings) - before; n > 0 {
		c.Status = Failed
		c.Summary = fmt.Sprintf("%d faults; %s", n, c.Summary)
	}
	s.report.Checks = append(s.report.Checks, c)
	return nil
}

// needed returns the nodes that an output depends on through data. What only
// computes the shape for a Reshape is not: shapes are fixed in an eFCN.
func (n *net) needed() map[*onnxio.Node]bool {
	needed := make(map[*onnxio.Node]bool)
	var mark func(name string)
	mark = func(name string) {
		node := n.producer[name]
		if node == nil || needed[node] {
			return
		}
		needed[node] = true
		for i, in := range node.Inputs {
			if i > 0 && reshapes(node) {
				break
			}
			mark(in)
		}
	}
	for _, v := range n.graph.Outputs {
		mark(v.Name)
	}
	return needed
}

func (s *structure) fault(kind string, node *onnxio.Node, value, format string, args ...any) {
	f := Finding{Check: Structure, Kind: kind, Value: value, Text: fmt.Sprintf(format, args...)}
	if node != nil {
		f.Node, f.Op = node.Label(), node.QualifiedOp()
	}
	s.report.find(f)
}

// layer checks one layer of the record.
func (s *structure) layer(rec *convert.LayerRecord) {
	source := s.cnn.producer[rec.Source]
	if source == nil {
		s.fault("record", nil, rec.Source, "the record names it as the source of layer %q, but the CNN does not compute it", rec.Node)
		return
	}
	row := Layer{Node: source.Label(), Op: source.OpType, Output: rec.Output, Structure: OK}
	before := len(s.report.Findings)
	s.seen[source] = true
	m, err := s.cnn.matrixOf(source, s.shapes[source.Input(0)], s.shapes[source.Output(0)])
	if node := s.held[rec.Output]; errors.Is(err, errNoMatrix) && node != nil {
		s.expected[node] = true
		s.wire(source, node, 0, 0)
		row.Structure = Skipped
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
		if node := s.held[rec.Output]; node == nil {
			s.fault("node", source, rec.Output, "the eFCN has no value %q", rec.Output)
		} else {
			s.expected[node] = true
			s.dense(source, node, m, &row)
			s.wire(source, node, 0, 0)
		}
	}
	if len(s.report.Findings) > before {
		row.Structure = Failed
	}
	s.report.Layers = append(s.report.Layers, row)
}

// foldInto multiplies the BatchNormalization into m that lies between the
// source and the output of a layer.
func (s *structure) foldInto(m *matrix, rec *convert.LayerRecord, row *Layer) (*matrix, error) {
	bn := s.cnn.producer[rec.Output]
	if !isOp(bn, "BatchNormalization") || bn.Input(0) != rec.Source {
		return nil, fmt.Errorf("the record says that %q was multiplied in, which is no BatchNormalization of %q", rec.Output, rec.Source)
	}
	if users := s.cnn.consumers[rec.Source]; len(users) != 1 || s.cnn.outputs[rec.Source] {
		return nil, fmt.Errorf("%q was multiplied in, but other nodes or the graph's outputs use %q", bn.Label(), rec.Source)
	}
	s.seen[bn] = true
	row.Folded = append(row.Folded, bn.Label())
	norm, err := s.cnn.batchNormOf(bn, m.outShape[0])
	if err != nil {
		return nil, bn.Wrap(err)
	}
	return m.scaled(norm), nil
}

// dense compares a layer's node in the eFCN, a Gemm or MatMul, with what the
// CNN says: attributes, matrix, bias.
func (s *structure) dense(source, node *onnxio.Node, m *matrix, row *Layer) {
	if isOp(source, "Gemm", "MatMul") && len(row.Folded) == 0 {
		s.kept(source, node)
		row.NonZeros = int64(m.rows) * int64(m.cols)
		s.compared += row.NonZeros
		return
	}
	if !isOp(node, "Gemm") {
		s.fault("node", source, row.Output, "the eFCN computes it with node %q (%s); want Gemm", node.Label(), node.QualifiedOp())
		return
	}
	if err := plainGemm(node); err != nil {
		s.fault("attribute", node, row.Output, "%v", err)
		return
	}
	weight := s.efcn.constants[node.Input(1)]
	switch {
	case weight == nil:
		s.fault("node", node, row.Output, "its matrix %q is no constant", node.Input(1))
		return
	case weight.Type != onnxio.Float32 || len(weight.Dims) != 2 || weight.Dims[0] != int64(m.rows) || weight.Dims[1] != int64(m.cols):
		s.fault("node", node, row.Output, "its matrix %q is %s %v; want float32 [%d %d]", weight.Name, weight.Type, weight.Dims, m.rows, m.cols)
		return
	}
	c := newRowChecker(m.rows, m.cols, m.fill)
	c.slack = m.slack
	err := c.check(weight)
	s.compared += int64(c.row) * int64(c.cols)
	row.NonZeros, row.Wrong = c.nonzero, c.wrong
	if err != nil {
		s.fault("node", node, row.Output, "its matrix %q cannot be read: %v", weight.Name, err)
		return
	}
	if c.wrong > 0 {
		d := c.first
		s.fault("entry", node, row.Output, "entry of output %v and input %v (row %d, column %d of %q): want %s, got %s; %d of %d entries are wrong",
			unravel(d.row, m.outShape), unravel(d.col, m.inShape), d.row, d.col, weight.Name, hex(d.want), hex(d.got), c.wrong, int64(m.rows)*int64(m.cols))
	}
	s.bias(node, m, row)
}

// plainGemm says whether a node computes x·Wᵀ + b with W as it is stored.
func plainGemm(node *onnxio.Node) error {
	for _, a := range []struct {
		name      string
		def, want int64
	}{{"transA", 0, 0}, {"transB", 0, 1}} {
		v, err := node.Int(a.name, a.def)
		if err != nil {
			return err
		}
		if v != a.want {
			return fmt.Errorf("attribute %s: want %d, got %d", a.name, a.want, v)
		}
	}
	for _, name := range []string{"alpha", "beta"} {
		v, err := node.Float(name, 1)
		if err != nil {
			return err
		}
		if v != 1 {
			return fmt.Errorf("attribute %s: want 1, got %g", name, v)
		}
	}
	return nil
}

// bias compares the bias of a layer's Gemm.
func (s *structure) bias(node *onnxio.Node, m *matrix, row *Layer) {
	got, dims, ok, err := s.efcn.floats(node, 2)
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
		s.fault("bias", node, row.Output, "bias %q is %v; want [%d]", node.Input(2), dims, m.rows)
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
				unravel(r, m.outShape), r, node.Input(2), hexOf(float32(want)), hexOf(v))
			return
		}
	}
}

// unrecorded checks a node of the CNN that no layer of the record stands for.
func (s *structure) unrecorded(node *onnxio.Node) {
	held := s.held[node.Output(0)]
	switch {
	case reshapes(node):
		return // what it feeds is checked where it is used
	case selects(node) && (held == nil || held.OpType != node.OpType || isOp(node, "Concat") && s.onVectors(held)):
		for k, name := range node.Outputs {
			if name != "" && (k == 0 || s.held[name] != nil || s.cnn.used(name)) {
				s.selected(node, k)
			}
		}
		return
	case held == nil:
		s.fault("node", node, node.Output(0), "the eFCN has no value %q, and no layer of its record stands for the node", node.Output(0))
		return
	case isOp(node, "BatchNormalization") && isOp(held, "Add"):
		s.expected[held] = true
		s.diagonal(node, held)
		return
	}
	s.expected[held] = true
	s.kept(node, held)
}

// surplus reports a node of the eFCN that nothing in the CNN asks for.
func (s *structure) surplus(node *onnxio.Node, needed map[*onnxio.Node]bool) {
	if isOp(node, "Gemm", "MatMul") {
		s.fault("node", node, node.Output(0), "it is a dense layer that the record does not name and the CNN does not have")
		return
	}
	if twin := s.cnn.producer[node.Output(0)]; twin != nil && !needed[twin] && twin.OpType == node.OpType {
		return // the CNN has it too, and in neither does an output depend on it
	}
	s.fault("node", node, node.Output(0), "the CNN has nothing that it stands for")
}

// unravel returns the multi-index of element i of a row-major shape.
func unravel(i int, shape []int) []int {
	at := make([]int, len(shape))
	for k := len(shape) - 1; k >= 0; k-- {
		if shape[k] > 0 {
			at[k] = i % shape[k]
			i /= shape[k]
		}
	}
	return at
}

// onVectors says whether a Concat of the eFCN joins vectors.
func (s *structure) onVectors(node *onnxio.Node) bool {
	v, ok := s.cnn.valueOf(node.Input(0))
	return !ok || len(s.shapes[v]) != 2
}

// cnnOrigin follows a value of the CNN back through what an eFCN leaves out:
// reshapes, and transpositions that move nothing.
func (s *structure) cnnOrigin(name string) string {
	for {
		name = s.cnn.origin(name)
		node := s.cnn.producer[name]
		if held := s.held[name]; !selects(node) || isOp(node, "Concat") && len(node.Inputs) > 1 || held != nil && !reshapes(held) {
			return name
		}
		name = node.Input(0)
	}
}

// efcnOrigin follows a value of the eFCN back in the same way, and returns its
// name in the CNN if it has one.
func (s *structure) efcnOrigin(name string) string {
	name = s.efcn.origin(name)
	if v, ok := s.cnn.valueOf(name); ok {
		return s.cnnOrigin(v)
	}
	return name
}

// wire checks that input j of a node of the eFCN is what input i of the CNN's
// node is.
func (s *structure) wire(source, node *onnxio.Node, i, j int) {
	want, got := s.cnnOrigin(source.Input(i)), s.efcnOrigin(node.Input(j))
	if got != want {
		s.fault("node", node, node.Output(0), "its input %d is %q; in the CNN it is %q", j, got, want)
	}
}
