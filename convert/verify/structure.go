package verify

import (
	"context"
	"fmt"
	"slices"

	"efcn/convert/record"
	"efcn/internal/mpi"
	"efcn/onnxio"
)

// structure is the first check: node by node, does the eFCN hold what the CNN
// says and nothing else? The geometry is worked out from the side of the column (does a
// tap lead from this output to this input?); the converter works from the side of the row.
//
// A layer with a BatchNormalization multiplied in holds float32(float64(K)·scale), scale =
// gamma/√(var+epsilon) in float64; its bias may be either of two neighbours where the sum
// in float64 is too close to the middle between them to tell (batchnorm.go). A layer that
// is a product of operators is multiplied out again from the factors that the record names
// (product.go). The levels of a maximum made of Relu are made again, and a proof on sets of
// inputs shows that they compute it (maximum.go). A factored layer has the local form and
// adds U·V·x with U = 0 (factoredform.go). What an operator selects is worked out from its
// page (indexmap.go), a nearest Resize in exact fractions (nearest.go); an interpolation's
// weights may be one rounding off (resizeMatrix). What follows from declared shapes alone is
// computed by each model's own nodes at several sizes of the batch (fromshapes.go).
type structure struct {
	cnn, efcn *net
	record    *record.Record
	shapes    map[string][]int // of the CNN's values when it ran on one sample
	report    *Report

	held     map[string]*onnxio.Node // CNN value -> the first node of the eFCN that computes it
	expected map[*onnxio.Node]bool   // nodes of the eFCN that are accounted for
	seen     map[*onnxio.Node]bool   // nodes of the CNN that are accounted for
	compared int64                   // entries
	unknown  int                     // layers of which no matrix is known
	others   bool                    // entries of the layer that is checked are compared by another rank

	maxima map[*onnxio.Node][]*matrix // levels of maxima
	parts  map[*onnxio.Node][]bool    // which levels layers of the record stand for
}

func newStructure(cnn, efcn *net, rec *record.Record, shapes map[string][]int, report *Report) *structure {
	s := &structure{
		cnn: cnn, efcn: efcn, record: rec, shapes: shapes, report: report,
		held:     heldBy(efcn, cnn.valueOf),
		expected: make(map[*onnxio.Node]bool),
		seen:     make(map[*onnxio.Node]bool),
		maxima:   make(map[*onnxio.Node][]*matrix),
		parts:    make(map[*onnxio.Node][]bool),
	}
	efcn.ends = make(map[string]bool)
	for i := range rec.Layers {
		if f := efcn.localPart(s.endOf(rec.Layers[i].Output)); f != nil && f.add == nil {
			efcn.ends[f.flatten.Output(0)] = true
		}
	}
	return s
}

// heldBy returns, for every value of the CNN that the eFCN has in some form,
// the first node of the eFCN that computes it. holds says which value of the CNN
// one of the eFCN is.
func heldBy(efcn *net, holds func(name string) (string, bool)) map[string]*onnxio.Node {
	held := make(map[string]*onnxio.Node)
	for _, node := range efcn.graph.Nodes {
		for _, name := range node.Outputs {
			if v, ok := holds(name); ok && name != "" && held[v] == nil {
				held[v] = node
			}
		}
	}
	return held
}

// check runs the whole check and appends its outcome to the report. tick is called after
// every layer.
func (s *structure) check(ctx context.Context, w *mpi.World, tick func()) error {
	before := len(s.report.Findings)
	var err error
	if s.cnn, err = s.withPadding(); err != nil {
		return err
	}
	if err := s.layers(ctx, w, tick); err != nil {
		return err
	}
	s.wholeMaxima()
	needed := s.cnn.needed()
	for _, node := range s.cnn.graph.Nodes {
		if !s.seen[node] && needed[node] {
			s.unrecorded(node)
		}
	}
	for _, node := range s.efcn.graph.Nodes {
		if !s.expected[node] && !operatorOf(node).reshapes {
			s.surplus(node, needed)
		}
	}
	for _, out := range s.cnn.graph.Outputs {
		if s.cnn.known(out.Name) || s.efcn.known(out.Name) {
			s.settledOutput(out.Name)
			continue
		}
		if want, got := s.cnnOrigin(out.Name), s.efcnOrigin(out.Name); got != want {
			s.fault("node", nil, out.Name, "the eFCN gives %q for it; in the CNN it is %q", got, want)
		}
	}
	c := Check{Name: Structure, Status: OK}
	c.Summary = fmt.Sprintf("%d layers, %d stored entries compared bit for bit with the CNN's parameters",
		len(s.record.Layers), s.compared)
	if s.unknown > 0 {
		c.Summary += fmt.Sprintf("; of %d layers the matrix is not known here and only running them speaks for it",
			s.unknown)
	}
	if n := len(s.report.Findings) - before; n > 0 {
		c.Status = Failed
		c.Summary = fmt.Sprintf("%d faults; %s", n, c.Summary)
	}
	s.report.Checks = append(s.report.Checks, c)
	return nil
}

// endOf returns the node that computes the output of a layer: a value of the
// CNN or, of a level of a maximum that is not the last, one of the eFCN's own.
func (s *structure) endOf(output string) *onnxio.Node {
	if node := s.held[output]; node != nil {
		return node
	}
	if s.cnn.Producer(output) == nil {
		return s.efcn.Producer(output)
	}
	return nil
}

// needed returns the nodes that an output depends on through data. What only
// computes the shape for a Reshape is not: shapes are fixed in an eFCN. What
// follows from shapes is compared where it is taken.
func (n *net) needed() map[*onnxio.Node]bool {
	needed := make(map[*onnxio.Node]bool)
	var mark func(name string)
	mark = func(name string) {
		node := n.Producer(name)
		if node == nil || needed[node] || n.without(node) {
			return
		}
		needed[node] = true
		for i, in := range node.Inputs {
			if i > 0 && operatorOf(node).reshapes {
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

// unrecorded checks a node of the CNN that no layer of the record stands for.
func (s *structure) unrecorded(node *onnxio.Node) {
	held, op := s.held[firstOutput(node)], operatorOf(node)
	switch {
	case op.windows != nil && (held == nil || isOp(held, "Gather")):
		s.selected(node, 0)
		return
	case op.reshapes:
		return // what it feeds is checked where it is used
	case op.selects() && (held == nil || held.OpType != node.OpType ||
		op.onVector != nil && op.onVector(s, node, held)):
		for k, name := range node.Outputs {
			if name != "" && (len(node.Outputs) == 1 || s.held[name] != nil || s.cnn.Uses(name) > 0) {
				s.selected(node, k)
			}
		}
		return
	case held == nil:
		s.fault("node", node, firstOutput(node),
			"the eFCN has no value %q, and no layer of its record stands for the node", firstOutput(node))
		return
	case op.normalization != nil && isOp(held, "Add"):
		s.expected[held] = true
		s.diagonal(node, held)
		return
	}
	s.expected[held] = true
	s.kept(node, held)
}

// firstOutput is the first output of a node that has a name: an LSTM may leave out
// those before it.
func firstOutput(node *onnxio.Node) string {
	for _, name := range node.Outputs {
		if name != "" {
			return name
		}
	}
	return ""
}

// surplus reports a node of the eFCN that nothing in the CNN asks for.
func (s *structure) surplus(node *onnxio.Node, needed map[*onnxio.Node]bool) {
	if s.efcn.without(node) {
		return // only shapes follow from it, and they are compared where they are taken
	}
	if isOp(node, "Gemm", "MatMul") {
		s.fault("node", node, node.Output(0),
			"it is a dense layer that the record does not name and the CNN does not have")
		return
	}
	if twin := s.cnn.Producer(firstOutput(node)); twin != nil && !needed[twin] && twin.OpType == node.OpType {
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

// settledOutput compares an output of the graph that follows from shapes.
func (s *structure) settledOutput(name string) {
	if !s.cnn.known(name) || !s.efcn.known(name) {
		s.fault("node", s.efcn.Producer(name), name,
			"it follows from shapes alone in one model and is computed from data in the other")
		return
	}
	s.sameContent(s.efcn.Producer(name), name, name, name, func(_, _ []int64) bool { return false })
}

// shaped checks that input i of a kept node has the shape that it has in the CNN,
// or is the vector of that where the node does the same to every element.
func (s *structure) shaped(source, node *onnxio.Node, i int) {
	f := &s.efcn.fromShapes
	for k, size := range f.sizes {
		j := slices.Index(s.cnn.fromShapes.sizes, size)
		if j < 0 {
			continue
		}
		want, known := s.cnn.fromShapes.dims(source.Input(i), j)
		got, alsoKnown := f.dims(node.Input(i), k)
		if !known || !alsoKnown || slices.Equal(want, got) {
			continue
		}
		n, err := onnxio.NumElements(want[min(1, len(want)):])
		if err == nil && len(want) > 0 && operatorOf(node).elementwise && slices.Equal(got, []int64{want[0], n}) {
			continue
		}
		s.fault("node", node, source.Output(0), "its input %d (%q) has shape %v; in the CNN it is %v", i, node.Input(i),
			got, want)
		return
	}
}

// cnnOrigin follows a value of the CNN back through what an eFCN leaves out:
// reshapes, and transpositions that move nothing.
func (s *structure) cnnOrigin(name string) string {
	for {
		name = s.cnn.origin(name)
		node := s.cnn.Producer(name)
		op, held := operatorOf(node), s.held[name]
		if !op.selects() && (op.windows == nil || s.parts[node] != nil) || op.joins && len(node.Inputs) > 1 ||
			held != nil && !s.efcn.passes(held) {
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
