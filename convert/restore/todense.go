package restore

import (
	"context"
	"fmt"
	"slices"

	"efcn/convert/record"
	"efcn/onnxio"
)

// DenseError says that the layers of an eFCN need more bytes in dense form than
// is allowed.
type DenseError struct {
	Layers        []string // those that are not dense, by the name of their node
	Bytes         int64    // what they take now
	Dense         int64    // what they take in dense form
	Need, Allowed int64    // of all weights
}

func (e *DenseError) Error() string {
	return fmt.Sprintf("layers %q take %d bytes now, %d in dense form, with all other weights %d: "+
		"more than the %d allowed", e.Layers, e.Bytes, e.Dense, e.Need, e.Allowed)
}

// ToDense returns an eFCN that has the layers of efcn of the given layouts in dense
// form, of any layout if none is given, and their names; efcn itself if there are none.
// The entries of local and sparse layers are the same, bit for bit; those of factored
// layers are local + U·V, rounded once. Their matrices are held in memory: more than
// maxBytes for all weights (0 means [record.DefaultMaxBytes]) is a *DenseError, before any work.
func ToDense(ctx context.Context, efcn *onnxio.Model, maxBytes int64, layouts ...record.Layout) (
	*onnxio.Model, []string, error,
) {
	if len(layouts) == 0 {
		layouts = []record.Layout{record.Local, record.Sparse, record.Factored}
	}
	carried, err := record.Read(efcn)
	if err != nil || carried == nil {
		return efcn, nil, err
	}
	if maxBytes == 0 {
		maxBytes = record.DefaultMaxBytes
	}
	e := &DenseError{Allowed: maxBytes}
	var all []*record.Matrix
	for i := range carried.Layers {
		rec := carried.Layers[i]
		if !slices.Contains(layouts, rec.Layout) || rec.Layout == record.Dense {
			continue
		}
		a, err := rec.Open(efcn.Graph)
		if err != nil {
			return nil, nil, fmt.Errorf("layer %q: %w", rec.Node, err)
		}
		all = append(all, a)
		e.Layers = append(e.Layers, rec.Node)
		e.Bytes += a.StoredBytes()
		e.Dense += 4 * int64(a.Rows) * int64(a.Cols)
	}
	if len(all) == 0 {
		return efcn, nil, nil
	}
	if e.Need = e.Dense + bytesBeside(efcn.Graph, all); e.Need > maxBytes {
		return nil, nil, e
	}
	dense, err := Dense(ctx, efcn, all)
	return dense, e.Layers, err
}

// bytesBeside returns what the initializers take that are no part of these layers.
func bytesBeside(g *onnxio.Graph, layers []*record.Matrix) (n int64) {
	for _, t := range g.Initializers {
		stores := func(a *record.Matrix) bool {
			return slices.Contains([]string{a.Layer.Weight, a.Layer.Left, a.Layer.Right}, t.Name)
		}
		if t.Data != nil && !slices.ContainsFunc(layers, stores) {
			n += t.Data.Len()
		}
	}
	return n
}

// Dense returns an eFCN that has the given layers of efcn, which are not dense, in dense
// form; efcn itself if there are none. Their matrices are generated whenever they are
// written or read, under ctx: held is then what [record.Matrix.EachOrdered] holds of one.
func Dense(ctx context.Context, efcn *onnxio.Model, layers []*record.Matrix) (*onnxio.Model, error) {
	if len(layers) == 0 {
		return efcn, nil
	}
	carried, err := record.Read(efcn)
	if err != nil {
		return nil, err
	}
	p, err := newRestorer(efcn)
	if err != nil {
		return nil, err
	}
	for _, a := range layers {
		if err := p.replace(a, nil); err != nil {
			return nil, fmt.Errorf("layer %q: %w", a.Layer.Node, err)
		}
		p.tensor(a.Dense(ctx, false))
		i := slices.IndexFunc(carried.Layers, func(l record.Layer) bool { return l.Weight == a.Layer.Weight })
		l := &carried.Layers[i]
		l.Layout, l.Index, l.Rank, l.Left, l.Right = record.Dense, "", 0, "", ""
	}
	if err := p.asDense(carried); err != nil {
		return nil, err
	}
	return p.out, carried.Write(p.out)
}

// asDense writes the nodes of the eFCN with a Gemm in the place of the nodes of
// each layer that is to be dense, and drops what they alone used.
func (p *restorer) asDense(rec *record.Record) error {
	g := p.out.Graph
	g.Nodes = nil
	dropped := make(map[string]bool)
	for _, n := range p.efcn.Graph.Nodes {
		l := p.layers[n]
		switch {
		case p.gone[n]:
			for _, name := range slices.Concat(n.Inputs, n.Outputs) {
				dropped[name] = true
			}
		case l == nil || n.OpType == "Gemm": // sparse: the Gemm is there
			p.add(n)
		default:
			if t, ok := p.info.Type(l.input); !ok || len(t.Shape) != 2 {
				return n.Errorf("its input is not a batch of vectors")
			}
			gemm, err := p.gemm(n, l)
			if err != nil {
				return err
			}
			p.add(gemm)
			i := slices.IndexFunc(rec.Layers, func(r record.Layer) bool { return r.Weight == l.a.Layer.Weight })
			rec.Layers[i].Bias = gemm.Input(2)
			dropped[n.Input(0)], dropped[n.Input(1)] = true, true
		}
	}
	for _, n := range g.Nodes {
		for _, name := range n.Inputs {
			delete(dropped, name)
		}
	}
	g.Initializers = slices.DeleteFunc(g.Initializers, func(t *onnxio.Tensor) bool { return dropped[t.Name] })
	g.ValueInfos = slices.DeleteFunc(slices.Clone(g.ValueInfos),
		func(v *onnxio.ValueInfo) bool { return dropped[v.Name] })
	return nil
}

// gemm returns the node of a layer whose last node was last.
func (p *restorer) gemm(last *onnxio.Node, l *restored) (*onnxio.Node, error) {
	rec := &l.a.Layer
	inputs := []string{l.input, rec.Weight}
	schema, known := onnxio.LookupOp("", "Gemm", p.efcn.Opset(""))
	switch {
	case rec.Bias != "":
		inputs = append(inputs, rec.Bias)
	case known && schema.MinInputs > 2: // C is required
		name := p.names.Free(rec.Node + ".bias")
		inputs = append(inputs, p.tensor(onnxio.NewTensor(name, []int64{int64(l.a.Rows)}, make([]float32, l.a.Rows))))
	}
	product := p.links.Readers(rec.Weight)[0]
	if product.OpType != "MatMul" {
		return nil, product.Errorf("want the MatMul of a layer in local form")
	}
	return &onnxio.Node{
		Name: product.Name, OpType: "Gemm", Inputs: inputs, Outputs: slices.Clone(last.Outputs),
		Attributes: []*onnxio.Attribute{onnxio.IntAttr("transB", 1)}, Metadata: product.Metadata,
	}, nil
}
