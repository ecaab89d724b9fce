package onnxio

import (
	"errors"
	"fmt"
	"iter"
)

// SparseConstants returns what a graph stores sparse, by name: its sparse
// initializers and what its Constant nodes hold. Subgraphs are left out.
func (g *Graph) SparseConstants() map[string]*SparseTensor {
	found := make(map[string]*SparseTensor)
	for _, s := range g.SparseInitializers {
		found[s.Values.Name] = s
	}
	for _, n := range g.Nodes {
		if a := n.sparseValue(); a != nil {
			found[n.Output(0)] = a.Sparse
		}
	}
	return found
}

// SparseConstant returns a Constant node, of that name, whose output is a sparse
// tensor.
func SparseConstant(name, output string, s *SparseTensor) *Node {
	return &Node{
		Name: name, OpType: "Constant", Outputs: []string{output},
		Attributes: []*Attribute{{Name: "sparse_value", Type: AttrSparseTensor, Sparse: s}},
	}
}

// SetSparseValues puts values, as many elements of the same type, in the place of
// those of the sparse constant of that name, and reports whether there is one. In
// a graph that was cloned, that of the original stays.
func (g *Graph) SetSparseValues(name string, values Data) bool {
	return g.setSparse(name, func(s *SparseTensor) *SparseTensor {
		t, v := *s, *s.Values
		v.Data, t.Values = values, &v
		return &t
	})
}

// SetSparse puts another matrix in the place of the sparse constant of that name, and
// reports whether there is one. In a graph that was cloned, that of the original stays.
func (g *Graph) SetSparse(name string, by *SparseTensor) bool {
	return g.setSparse(name, func(*SparseTensor) *SparseTensor { return by })
}

func (g *Graph) setSparse(name string, with func(*SparseTensor) *SparseTensor) bool {
	for i, s := range g.SparseInitializers {
		if s.Values.Name == name {
			g.SparseInitializers[i] = with(s)
			return true
		}
	}
	for _, n := range g.Nodes {
		if a := n.sparseValue(); a != nil && n.Output(0) == name {
			a.Sparse = with(a.Sparse)
			return true
		}
	}
	return false
}

// sparseValue returns the attribute in which a Constant holds a sparse tensor, nil
// of other nodes.
func (n *Node) sparseValue() *Attribute {
	if n.OpType != "Constant" || CanonicalDomain(n.Domain) != "" {
		return nil
	}
	a := n.Attr("sparse_value")
	if a == nil || a.Sparse == nil || a.Sparse.Values == nil {
		return nil
	}
	return a
}

// SparseBlock is some entries of a sparse tensor, in the order that they are
// stored in.
type SparseBlock[T float32 | float64] struct {
	Indices []int64 // places in the dense tensor, row-major
	Values  []T     // as many
}

// SparseBlocks yields the entries of a sparse tensor of floating type, n at a time,
// fewer in the last block. Coordinates are made linear indices. Whether indices
// ascend, and linear ones lie inside, is for the caller to see: [Model.Check] does.
// A block is valid until the next one is asked for, and must not be modified. An
// error, with an empty block, ends the sequence.
func SparseBlocks[T float32 | float64](s *SparseTensor, n int) iter.Seq2[SparseBlock[T], error] {
	return func(yield func(SparseBlock[T], error) bool) {
		width, err := s.indexWidth()
		if err != nil {
			yield(SparseBlock[T]{}, err)
			return
		}
		n = max(1, n)
		values, stop := iter.Pull2(FloatBlocks[T](s.Values, n))
		defer stop()
		var scratch []int64
		for indices, err := range IntBlocks(s.Indices, n*width) {
			var block SparseBlock[T]
			switch {
			case err != nil:
			case len(s.Indices.Dims) == 1:
				block.Indices = indices
			default:
				scratch, err = s.linear(scratch[:0], indices)
				block.Indices = scratch
			}
			if err == nil {
				block.Values, err, _ = values()
			}
			if err != nil {
				yield(SparseBlock[T]{}, fmt.Errorf("sparse tensor %q: %w", s.Values.Name, err))
				return
			}
			if !yield(block, nil) {
				return
			}
		}
	}
}

// indexWidth returns how many numbers make an index: 1, or one for each axis.
func (s *SparseTensor) indexWidth() (int, error) {
	if s.Values == nil || s.Indices == nil {
		return 0, errors.New("sparse tensor: values or indices are missing")
	}
	v, i := s.Values.Dims, s.Indices.Dims
	switch {
	case len(v) == 1 && len(i) == 1 && i[0] == v[0]:
		return 1, nil
	case len(v) == 1 && len(i) == 2 && i[0] == v[0] && i[1] == int64(len(s.Dims)) && len(s.Dims) > 0:
		return len(s.Dims), nil
	default:
		return 0, fmt.Errorf("sparse tensor %q: values of dimensions %v with indices of %v", s.Values.Name, v, i)
	}
}

// linear appends the linear indices of coordinates to a list.
func (s *SparseTensor) linear(list, coordinates []int64) ([]int64, error) {
	for rank := len(s.Dims); len(coordinates) > 0; coordinates = coordinates[rank:] {
		at := int64(0)
		for axis, x := range coordinates[:rank] {
			if x < 0 || x >= s.Dims[axis] {
				return nil, fmt.Errorf("index %v lies outside the dimensions %v", coordinates[:rank], s.Dims)
			}
			at = at*s.Dims[axis] + x
		}
		list = append(list, at)
	}
	return list, nil
}
