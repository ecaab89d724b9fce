package affine

import (
	"slices"
)

// Outside marks an element of a selection that is none of the input's.
const Outside = -1

// Selection is a tensor, without its batch axis, whose every element is one of
// the elements of another tensor, numbered in row-major order, or outside.
// What slicing, permuting or padding does to a vector is found by doing it to
// the selection of everything.
type Selection struct {
	Dims []int
	From []int64
}

// Everything selects each element of a tensor of shape dims.
func Everything(dims []int) Selection {
	s := Selection{Dims: slices.Clone(dims)}
	s.From = make([]int64, Size(dims))
	for i := range s.From {
		s.From[i] = int64(i)
	}
	return s
}

// Along returns the selection whose index i of an axis is index[i] of that axis
// of s; outside puts in elements that are none of the input's.
func (s Selection) Along(axis int, index []int) Selection {
	out := Selection{Dims: slices.Clone(s.Dims)}
	out.Dims[axis] = len(index)
	inner := Size(s.Dims[axis+1:])
	outer := Size(s.Dims[:axis])
	out.From = make([]int64, 0, outer*len(index)*inner)
	for o := range outer {
		for _, i := range index {
			if i == Outside {
				out.From = append(out.From, slices.Repeat([]int64{Outside}, inner)...)
				continue
			}
			start := (o*s.Dims[axis] + i) * inner
			out.From = append(out.From, s.From[start:start+inner]...)
		}
	}
	return out
}

// Permute returns the selection whose axis i is axis axes[i] of s.
func (s Selection) Permute(axes []int) Selection {
	strides := make([]int, len(s.Dims))
	size := 1
	for i := len(s.Dims) - 1; i >= 0; i-- {
		strides[i] = size
		size *= s.Dims[i]
	}
	out := Selection{Dims: make([]int, len(axes)), From: make([]int64, 0, size)}
	for i, a := range axes {
		out.Dims[i] = s.Dims[a]
	}
	at := make([]int, len(axes))
	offset := 0
	for range size {
		out.From = append(out.From, s.From[offset])
		for i := len(at) - 1; i >= 0; i-- {
			stride := strides[axes[i]]
			if at[i]++; at[i] < out.Dims[i] {
				offset += stride
				break
			}
			offset -= stride * (at[i] - 1)
			at[i] = 0
		}
	}
	return out
}

// Reshape returns the same elements in another shape of the same size.
func (s Selection) Reshape(dims ...int) Selection {
	return Selection{Dims: dims, From: s.From}
}

// Factor returns the selection from a vector of that many elements as a factor; the
// elements that are none of its are fill.
func (s Selection) Factor(in int, fill float32) Factor {
	return &selectionFactor{from: s.From, in: in, fill: fill}
}
