package compress

import (
	"context"
	"fmt"
	"slices"

	"efcn/convert/layout"
	"efcn/convert/record"
	"efcn/internal/constants"
	"efcn/onnxio"
	"efcn/onnxio/shape"
)

// rewrite puts the nodes of other layouts in the place of the Gemm of dense layers, by
// the name of their weights.
func rewrite(ctx context.Context, m *onnxio.Model, changed map[string]*job) (*onnxio.Model, error) {
	rec, err := record.Read(m)
	if err != nil {
		return nil, err
	}
	info, err := shape.Infer(m, shape.Options{Evaluate: constants.Evaluate})
	if err != nil {
		return nil, err
	}
	out := m.Clone()
	g, links := out.Graph, m.Graph.Links()
	g.Nodes = nil
	g.Initializers = slices.DeleteFunc(slices.Clone(g.Initializers),
		func(t *onnxio.Tensor) bool { return changed[t.Name] != nil })
	b := &layout.Builder{Graph: g, Names: g.Names(), Opset: m.Opset("")}
	for _, n := range m.Graph.Nodes {
		b.Names.Take(append([]string{n.Name}, n.Outputs...)...)
	}
	for _, n := range m.Graph.Nodes {
		j := changed[n.Input(1)]
		if n.OpType != "Gemm" || j == nil {
			b.Node(n)
			continue
		}
		l := &rec.Layers[j.index]
		if err := checkGemm(n, l, links, b.Opset, j.target.Layout); err != nil {
			return nil, fmt.Errorf("layer %q: %w", l.Node, err)
		}
		t, ok := info.Type(n.Output(0))
		if !ok || len(t.Shape) != 2 {
			return nil, n.Errorf("its output is not a batch of vectors")
		}
		b.Batch = t.Shape[0]
		*l = j.put(ctx, b, n, *l)
		delete(changed, n.Input(1))
	}
	for name, j := range changed {
		return nil, fmt.Errorf("layer %q: no Gemm multiplies with its weights %q", rec.Layers[j.index].Node, name)
	}
	if err := rec.Write(out); err != nil {
		return nil, err
	}
	return out, out.Check()
}

// checkGemm makes sure that the node is as convert writes it for a dense layer.
func checkGemm(n *onnxio.Node, l *record.Layer, links *onnxio.Links, opset int64, to record.Layout) error {
	transA, errA := n.Int("transA", 0)
	transB, errB := n.Int("transB", 0)
	alpha, errAlpha := n.Float("alpha", 1)
	beta, errBeta := n.Float("beta", 1)
	for _, err := range []error{errA, errB, errAlpha, errBeta} {
		if err != nil {
			return n.Wrap(err)
		}
	}
	gemm, _ := onnxio.LookupOp("", "Gemm", opset)
	constant, _ := onnxio.LookupOp("", "Constant", opset)
	switch {
	case transA != 0 || transB != 1 || alpha != 1 || beta != 1 || n.Input(2) != l.Bias ||
		links.SoleReader(l.Weight) != n:
		return n.Errorf("want the Gemm that convert writes: of weights that it alone reads, with transB 1")
	case to == record.Factored && gemm != nil && gemm.MinInputs > 2:
		return n.Errorf("opset %d: layout factored needs a Gemm of two inputs, which is there from opset 11 on", opset)
	case to == record.Sparse && constant != nil:
		if _, ok := constant.Attribute("sparse_value"); !ok {
			return n.Errorf("opset %d has no sparse constants; layout local or factored is smaller still", opset)
		}
	}
	return nil
}

// put appends the nodes of the layer in its new layout, in the place of the Gemm n, and
// returns its record.
func (j *job) put(ctx context.Context, b *layout.Builder, n *onnxio.Node, rec record.Layer) record.Layer {
	rec.Layout, rec.Rank = j.row.Layout, j.row.Rank
	if rec.Layout == record.Sparse {
		name := b.Names.Free(rec.Node + ".weight")
		b.Node(onnxio.SparseConstant(b.Names.Free(name+"/constant"), name, j.sparse(ctx, name, j.chosen)))
		gemm := *n
		gemm.Inputs = slices.Clone(n.Inputs)
		gemm.Inputs[1], rec.Weight = name, name
		b.Node(&gemm)
		return rec
	}
	l := layout.Layer{
		Record: rec, Name: n.Name, Metadata: n.Metadata, Input: n.Input(0), Form: j.support.Local(),
		Output: func() string { return n.Output(0) },
	}
	if rec.Bias != "" {
		l.Bias = func() string { return rec.Bias }
	}
	if rec.Layout == record.Local {
		l.Weights = j.localWeights(ctx, factors{})
		return b.Local(l)
	}
	l.Weights = j.localWeights(ctx, j.cut.product)
	l.Left, l.Right = j.cut.data(j.layer)
	return b.Factored(l)
}
