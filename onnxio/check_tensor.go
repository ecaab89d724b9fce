package onnxio

import (
	"fmt"

	"efcn/onnxio/internal/onnxpb"
)

// tensor checks a constant: its type, its dimensions, and that its data is there.
func (c *checker) tensor(what string, t *Tensor) {
	if _, known := dataTypes[t.Type]; !known || t.Type == Undefined {
		c.addf("%s %q: unknown element type %d", what, t.Name, int32(t.Type))
		return
	}
	if err := t.checkSize(); err != nil {
		c.addf("%s %q: %w", what, t.Name, err)
		return
	}
	if r, ok := t.Data.(region); ok {
		if err := r.check(); err != nil {
			c.addf("%s %q: %w", what, t.Name, err)
		}
	}
	if t.Data == nil {
		c.undecoded(what, t)
	}
}

// undecoded checks a tensor that Read carries as it was: the elements are in
// the rest, if anywhere.
func (c *checker) undecoded(what string, t *Tensor) {
	p, _ := t.rest.msg.(*onnxpb.TensorProto)
	n, err := NumElements(t.Dims)
	if err != nil {
		return // checkSize has said so
	}
	got, noun := int64(len(p.GetInt32Data())), "packed values"
	switch t.Type {
	case String:
		got, noun = int64(len(p.GetStringData())), "strings"
	case Uint4, Int4, Float4E2M1:
		n = (n + 1) / 2
	case Uint2, Int2:
		n = (n + 3) / 4
	case Float6E2M3, Float6E3M2: // one each
	default:
		c.addf("%s %q: it has no data", what, t.Name)
		return
	}
	if got != n {
		c.addf("%s %q: dimensions %v of %s need %d %s, got %d", what, t.Name, t.Dims, t.Type, n, noun, got)
	}
}

// sparse checks a tensor stored as its non-zeros, down to the order of the
// indices.
func (c *checker) sparse(what string, s *SparseTensor) {
	if s.Values == nil || s.Indices == nil {
		c.addf("%s: values or indices are missing", what)
		return
	}
	name := s.Values.Name
	c.tensor(what, s.Values)
	size, err := NumElements(s.Dims)
	if err != nil {
		c.addf("%s %q: dimensions %v: %w", what, name, s.Dims, err)
		return
	}
	if len(s.Values.Dims) != 1 {
		c.addf("%s %q: values of dimensions %v; want one dimension", what, name, s.Values.Dims)
		return
	}
	nnz, rank := s.Values.Dims[0], int64(len(s.Dims))
	linear := len(s.Indices.Dims) == 1 && s.Indices.Dims[0] == nnz
	if s.Indices.Type != Int64 || !linear &&
		(len(s.Indices.Dims) != 2 || s.Indices.Dims[0] != nnz || s.Indices.Dims[1] != rank) {
		c.addf("%s %q: indices are %s of dimensions %v; want int64 of [%d] or [%d %d]", what, name, s.Indices.Type,
			s.Indices.Dims, nnz, nnz, rank)
		return
	}
	if err := s.checkOrder(size); err != nil {
		c.addf("%s %q: %w", what, name, err)
	}
}

// checkOrder returns an error unless the indices of a sparse tensor, of the dimensions that
// its values require, ascend and lie inside its own, of size elements together. They are
// read in blocks: there may be gigabytes of them.
func (s *SparseTensor) checkOrder(size int64) error {
	width := 1
	coordinates := len(s.Indices.Dims) == 2
	if coordinates {
		width = len(s.Dims)
	}
	const unordered = "index %d is not greater than the one before; they must be sorted and distinct"
	if width == 0 && s.Values.Dims[0] > 1 { // of a scalar, where an index is no number
		return fmt.Errorf(unordered, 1)
	}
	last, i := int64(-1), 0
	for block, err := range IntBlocks(s.Indices, indexBlock*width) {
		if err != nil {
			return fmt.Errorf("indices: %w", err)
		}
		for ; len(block) > 0; block = block[width:] {
			at, ok := block[0], true
			if coordinates {
				at = 0
				for axis, x := range block[:width] {
					ok = ok && x >= 0 && x < s.Dims[axis]
					at = at*s.Dims[axis] + x
				}
			}
			switch {
			case !ok || at < 0 || at >= size:
				return fmt.Errorf("index %d lies outside the dimensions %v", i, s.Dims)
			case at <= last:
				return fmt.Errorf(unordered, i)
			}
			last = at
			i++
		}
	}
	return nil
}

// indexBlock is how many indices are read at a time.
const indexBlock = 1 << 14
