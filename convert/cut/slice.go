package cut

import (
	"slices"

	"efcn/onnxio"
)

// Slice is the part that a rank has of a tensor. That is seen as [Outer, Axis, Inner],
// row-major, and the part is its elements [:, Lo:Hi, :].
type Slice struct {
	Outer, Axis, Inner int
	Lo, Hi             int
	// Bounds are the Lo of all ranks, and Axis.
	Bounds []int

	rank int
	dim  int // of the tensor, which Axis is
}

// Of returns the slice of another rank.
func (s Slice) Of(rank int) Slice {
	s.rank, s.Lo, s.Hi = rank, s.Bounds[rank], s.Bounds[rank+1]
	return s
}

// Len is the number of elements of the part.
func (s Slice) Len() int { return s.Outer * (s.Hi - s.Lo) * s.Inner }

// Tensor returns the part of the tensor that s is of. Of a file it reads what it needs.
func (s Slice) Tensor(t *onnxio.Tensor) *onnxio.Tensor {
	part := *t
	part.Dims = slices.Clone(t.Dims)
	part.Dims[s.dim] = int64(s.Hi - s.Lo)
	size := int64(s.Inner) * t.Type.Size()
	part.Data = onnxio.Strided(t.Data, int64(s.Lo)*size, int64(s.Hi-s.Lo)*size, int64(s.Axis)*size, int64(s.Outer))
	return &part
}

// alongDim is the slice of a tensor of those dimensions along one of them, for a rank.
func alongDim(dims []int64, dim int, bounds []int, rank int) Slice {
	s := Slice{Outer: 1, Axis: int(dims[dim]), Inner: 1, Bounds: bounds, dim: dim}
	for i, d := range dims {
		switch {
		case i < dim:
			s.Outer *= int(d)
		case i > dim:
			s.Inner *= int(d)
		}
	}
	return s.Of(rank)
}

func (s Slice) equal(t Slice) bool {
	return s.Outer == t.Outer && s.Axis == t.Axis && s.Inner == t.Inner && slices.Equal(s.Bounds, t.Bounds)
}

// evenly are the bounds of the ranks among n things, each of which is that many elements.
func evenly(n, ranks, elements int) []int {
	bounds := make([]int, ranks+1)
	for r := range bounds {
		bounds[r] = n * r / ranks * elements
	}
	return bounds
}
