package engine

import (
	"context"
	"errors"
	"fmt"

	"efcn/onnxio"
)

// foldedBytes bounds what folding may add to a model: a node that computes more
// than this from less stays, so an Expand or ConstantOfShape of a few bytes does
// not become gigabytes.
const foldedBytes = 64 << 20

// FoldConstants returns a copy of m in which every node whose inputs are all
// constant is replaced by the initializers it computes, at the precision the
// model declares. Nodes that only fed folded ones are dropped; graph outputs keep
// their names. Model-local functions are inlined, an If with a constant
// condition becomes the branch that it takes, and a sparse initializer a dense one.
// A condition that follows from the declared shapes is constant.
//
// An initializer that is also a graph input is no constant: a caller may feed it.
// A node that the engine cannot run is left as it is.
func FoldConstants(m *onnxio.Model) (*onnxio.Model, error) { return fold(m, nil, false) }

// FoldConstantsAt is FoldConstants for inputs of the given shapes, with the
// batch axis, where the model leaves them open; -1 leaves a dimension as it is.
func FoldConstantsAt(m *onnxio.Model, inputs map[string][]int64) (*onnxio.Model, error) {
	return fold(m, inputs, false)
}

// FoldDenseConstants is FoldConstants that leaves [SparseFactors] as they are.
func FoldDenseConstants(m *onnxio.Model) (*onnxio.Model, error) { return fold(m, nil, true) }

func fold(m *onnxio.Model, inputs map[string][]int64, keepSparse bool) (*onnxio.Model, error) {
	m, err := m.Inline()
	if err != nil {
		return nil, err
	}
	f := &folder{
		graph:   m.Graph,
		opsets:  opsets(m.Opsets),
		tensors: map[string]*onnxio.Tensor{},
		values:  map[string]folded{},
		names:   m.Graph.Names(),
	}
	if keepSparse {
		f.sparse = SparseFactors(m.Graph)
	}
	for _, t := range m.Graph.Initializers {
		f.tensors[t.Name] = t
	}
	for _, in := range m.Graph.Inputs {
		delete(f.tensors, in.Name)
	}
	if !keepSparse {
		if err := f.densify(); err != nil {
			return nil, err
		}
	}
	if err := f.fold(); err != nil {
		return nil, err
	}
	for f.settle(m, inputs) {
		if err := f.fold(); err != nil {
			return nil, err
		}
	}
	m.Graph.Prune()
	return m, nil
}

// folded is a constant at both precisions; the one that is missing is computed
// from the model's data when asked for.
type folded struct {
	single *Tensor[float32]
	double *Tensor[float64]
}

type folder struct {
	graph   *onnxio.Graph
	opsets  map[string]int64
	tensors map[string]*onnxio.Tensor // constants of the graph, by name
	values  map[string]folded         // those already decoded
	sparse  map[string]*SparseFactor  // constants that stay, by name
	names   *onnxio.Names
}

// densify makes initializers of the sparse ones that are not too large: as if each
// were the value of a Constant.
func (f *folder) densify() error {
	var rest []*onnxio.SparseTensor
	for _, s := range f.graph.SparseInitializers {
		done, err := f.node(onnxio.SparseConstant(s.Values.Name, s.Values.Name, s))
		if err != nil {
			return err
		}
		if !done {
			rest = append(rest, s)
		}
	}
	f.graph.SparseInitializers = rest
	return nil
}

// fold walks the nodes in order, so that constants flow.
func (f *folder) fold() error {
	rest := f.graph.Nodes
	f.graph.Nodes = nil
	for len(rest) > 0 {
		n := rest[0]
		rest = rest[1:]
		if n.OpType == "If" && onnxio.CanonicalDomain(n.Domain) == "" {
			branch, err := f.branch(n)
			if err != nil {
				return err
			}
			if branch != nil {
				rest = append(branch, rest...)
				continue
			}
		}
		done, err := f.node(n)
		if err != nil {
			return err
		}
		if !done {
			f.graph.Nodes = append(f.graph.Nodes, n)
		}
	}
	return nil
}

// node computes n if it can, and says whether it has.
func (f *folder) node(n *onnxio.Node) (bool, error) {
	if !foldable(n) || f.sparse[n.Output(0)] != nil {
		return false, nil
	}
	size := int64(0)
	double := false
	for _, name := range n.Inputs {
		if name == "" {
			continue
		}
		t, ok := f.tensors[name]
		if !ok || !held(t.Type) {
			return false, nil
		}
		size += t.Type.Size() * elements(t)
		double = double || t.Type == onnxio.Float64
	}
	for _, a := range n.Attributes {
		double = double || a.T != nil && a.T.Type == onnxio.Float64
	}
	limit := max(size, foldedBytes)
	if double {
		return foldNode(f, n, limit, func(v folded) *Tensor[float64] { return v.double }, func(v *Tensor[float64]) folded { return folded{double: v} })
	}
	return foldNode(f, n, limit, func(v folded) *Tensor[float32] { return v.single }, func(v *Tensor[float32]) folded { return folded{single: v} })
}

func elements(t *onnxio.Tensor) int64 {
	n, err := onnxio.NumElements(t.Dims)
	if err != nil {
		return 0
	}
	return n
}

// foldable leaves alone what has no result of its own (subgraphs may read
// anything) and what the engine does not have.
func foldable(n *onnxio.Node) bool {
	if onnxio.CanonicalDomain(n.Domain) != "" || registry[n.OpType] == nil {
		return false
	}
	for _, a := range n.Attributes {
		if a.Type == onnxio.AttrGraph || a.Type == onnxio.AttrGraphs {
			return false
		}
	}
	return true
}

// foldNode runs n on its constants. What fails to run for its size stays in the
// graph; what fails otherwise would fail in every run, and is an error.
func foldNode[T float32 | float64](f *folder, n *onnxio.Node, limit int64, get func(folded) *Tensor[T], put func(*Tensor[T]) folded) (bool, error) {
	s, err := prepare[T](n, f.opsets)
	if err != nil {
		return false, nil // New will say why
	}
	in := make([]*Tensor[T], max(len(n.Inputs), s.op.slots()))
	for i, name := range n.Inputs {
		if name == "" {
			continue
		}
		v := get(f.values[name])
		if v == nil {
			if v, err = FromONNX[T](f.tensors[name]); err != nil {
				return false, n.Errorf("input %q: %w", name, err)
			}
			f.values[name] = put(v)
		}
		in[i] = v
	}
	x := &exec[T]{ctx: context.Background(), elements: int(min(limit, maxElements))}
	out, err := s.run(x, in)
	if err != nil {
		if errors.Is(err, errTooMany) {
			return false, nil
		}
		return false, fmt.Errorf("folding constants: %w", err)
	}
	total := int64(0)
	for i, name := range n.Outputs {
		if name != "" {
			total += out[i].Type.Size() * int64(out[i].Len())
		}
	}
	if total > limit {
		return false, nil
	}
	for i, name := range n.Outputs {
		if name == "" {
			continue
		}
		f.tensors[name] = settled(name, out[i])
		f.values[name] = put(out[i])
		f.graph.Initializers = append(f.graph.Initializers, f.tensors[name])
	}
	return true, nil
}
