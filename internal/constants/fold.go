// Package constants computes what a model computes from constants alone.
//
// Start with [Fold]. [Evaluate] is what shape inference computes the contents of
// shapes with.
//
// Both are the embedded engine's work, which this package gives to the converter:
// that may evaluate constants, but runs no model.
package constants

import (
	"errors"
	"fmt"
	"slices"

	"efcn/internal/engine"
	"efcn/onnxio"
)

// foldedBytes bounds what folding may add to a model: a node that computes more
// than this from less stays, so an Expand or ConstantOfShape of a few bytes does
// not become gigabytes.
const foldedBytes = 64 << 20

// Options says how to fold. The zero value is good for most.
type Options struct {
	// Inputs are the shapes, with the batch axis, of inputs whose shapes the model
	// leaves open, by name; -1 leaves a dimension as it is. Conditions that follow
	// from them are constant.
	Inputs map[string][]int64
	// KeepSparse leaves the sparse constants that the engine multiplies by as they
	// are: see engine.SparseFactors. By default they are made dense, up to 64 MiB.
	KeepSparse bool
}

// Fold returns a copy of m in which every node whose inputs are all constant is
// replaced by the initializers it computes, at the precision the model declares.
// What no output needs then is dropped; graph outputs keep their names. Model-local
// functions are inlined, an If with a constant condition becomes the branch that it
// takes, and a sparse initializer a dense one. A condition that follows from the
// declared shapes is constant.
//
// An initializer that is also a graph input is no constant: a caller may feed it.
// A node that the engine cannot run is left as it is; one that would fail in every
// run is an error.
func Fold(m *onnxio.Model, o Options) (*onnxio.Model, error) {
	m, err := m.Inline()
	if err != nil {
		return nil, err
	}
	f := &folder{
		graph:   m.Graph,
		opset:   m.Opset(""),
		tensors: make(map[string]*onnxio.Tensor),
		names:   m.Graph.Names(),
	}
	for _, t := range m.Graph.Initializers {
		f.tensors[t.Name] = t
	}
	for _, in := range m.Graph.Inputs {
		delete(f.tensors, in.Name)
	}
	if o.KeepSparse {
		f.sparse = engine.SparseFactors(m.Graph)
	} else if err := f.densify(); err != nil {
		return nil, err
	}
	if err := f.fold(); err != nil {
		return nil, err
	}
	for f.settle(m, o.Inputs) {
		if err := f.fold(); err != nil {
			return nil, err
		}
	}
	m.Graph.Prune()
	return m, nil
}

// Evaluate runs a node on constants: it is a shape.Evaluator.
func Evaluate(n *onnxio.Node, opset int64, inputs []*onnxio.Tensor, most int) ([]*onnxio.Tensor, error) {
	return engine.Evaluate(n, opset, inputs, most)
}

type folder struct {
	graph   *onnxio.Graph
	opset   int64
	tensors map[string]*onnxio.Tensor       // constants of the graph, by name
	sparse  map[string]*engine.SparseFactor // constants that stay, by name
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

// node computes n if it can, and reports whether it has. What fails to run for its
// size stays in the graph; what fails otherwise would fail in every run, and is an
// error.
func (f *folder) node(n *onnxio.Node) (bool, error) {
	if f.sparse[n.Output(0)] != nil || hasGraph(n) {
		return false, nil
	}
	inputs := make([]*onnxio.Tensor, len(n.Inputs))
	size := int64(0)
	for i, name := range n.Inputs {
		if name == "" {
			continue
		}
		t, ok := f.tensors[name]
		if !ok {
			return false, nil
		}
		inputs[i] = t
		size += byteSize(t)
	}
	for _, a := range n.Attributes {
		if a.T != nil { // a Constant that becomes an initializer adds nothing
			size += byteSize(a.T)
		}
	}
	limit := max(size, foldedBytes)
	outputs, err := engine.Evaluate(n, f.opset, inputs, int(limit))
	switch {
	case errors.Is(err, engine.ErrUnsupported):
		return false, nil // whoever runs the model says why
	case err != nil:
		return false, fmt.Errorf("folding constants: %w", err)
	}
	total := int64(0)
	for _, t := range outputs {
		if t != nil {
			total += byteSize(t)
		}
	}
	if total > limit {
		return false, nil
	}
	for _, t := range outputs {
		if t != nil {
			f.tensors[t.Name] = t
			f.graph.Initializers = append(f.graph.Initializers, t)
		}
	}
	return true, nil
}

// byteSize returns what the elements of t take.
func byteSize(t *onnxio.Tensor) int64 {
	n, err := onnxio.NumElements(t.Dims)
	if err != nil {
		return 0
	}
	return t.Type.Size() * n
}

// hasGraph reports whether a node has a graph of its own, which may read anything.
func hasGraph(n *onnxio.Node) bool {
	return slices.ContainsFunc(n.Attributes, func(a *onnxio.Attribute) bool {
		return a.Type == onnxio.AttrGraph || a.Type == onnxio.AttrGraphs
	})
}
