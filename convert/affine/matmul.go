package affine

import (
	"fmt"
	"slices"
)

// Transposed returns the transposes of matrices rows×cols, one behind another.
func Transposed(a []float32, rows, cols int) []float32 {
	t := make([]float32, len(a))
	for at := 0; at < len(a); at += rows * cols {
		for r := range rows {
			for c := range cols {
				t[at+c*rows+r] = a[at+r*cols+c]
			}
		}
	}
	return t
}

// NoMapError says why an operator that is linear is no Map.
type NoMapError struct{ Why string }

func (e *NoMapError) Error() string { return e.Why }

// MatMul returns the map, without Kernel, of the product of a batch of
// tensors, x without the batch axis, and a constant of shape w that is the first
// factor or the second. Each place on the leading axes of x is a group, and those
// that w does not tell apart share a matrix. In x·B a group has one position, in
// A·x those of the last axis of x.
func MatMul(x []int, w []int64, first bool) (*Map, error) {
	inner := 1 // axes of x that a matrix works on
	if first {
		inner = 2
	}
	if len(x) < inner {
		return nil, &NoMapError{"it mixes the images of a batch"}
	}
	if len(w) == 0 {
		return nil, fmt.Errorf("a scalar is no factor of a matrix product")
	}
	lead, matrix := x[:len(x)-inner], w[max(0, len(w)-2):]
	if len(w) == 1 { // a vector: a matrix of one row, or of one column
		matrix = []int64{w[0], 1}
		if first {
			matrix = []int64{1, w[0]}
		}
	}
	channels, outputs := matrix[0], matrix[1]
	if first {
		channels, outputs = outputs, channels
	}
	if channels != int64(x[len(lead)]) {
		return nil, fmt.Errorf("a constant of shape %v does not take N×%v: %d is not %d", w, x, channels, x[len(lead)])
	}
	own, groups, err := matrices(x, w, lead, first)
	if err != nil {
		return nil, err
	}
	if groups == 0 || channels == 0 || outputs == 0 {
		return nil, &NoMapError{"a factor has no elements"}
	}
	m := &Map{Groups: groups, InChannels: groups * int(channels), OutChannels: groups * int(outputs), Taps: onePoint}
	if first {
		d := x[len(x)-1]
		m.Taps = NewTaps([]Axis{Window{In: d, Out: d, Kernel: 1, Stride: 1, Dilation: 1}.Axis(1, firstCoef)})
	}
	if Size(own) < int64(groups) {
		m.Shared = make([]int32, groups)
		for g := range m.Shared {
			m.Shared[g] = place(g, lead, own)
		}
	}
	return m, nil
}

// matrices returns the lengths of the leading axes lead of x on which w has matrices of
// its own, 1 where it shares them, and how many places lead has.
func matrices(x []int, w []int64, lead []int, first bool) (own []int64, groups int, err error) {
	own = slices.Clone(w[:max(0, len(w)-2)]) // the places on lead that w tells apart
	if !first {
		own = append(own, 1) // the rows of x
	}
	if len(own) > len(lead) && own[0] == 1 {
		own = own[1:]
	}
	if len(own) > len(lead) {
		return nil, 0, &NoMapError{fmt.Sprintf("the constant, of shape %v, has more leading axes than N×%v", w, x)}
	}
	own = append(slices.Repeat([]int64{1}, len(lead)-len(own)), own...)
	groups = 1
	for i, d := range lead {
		switch {
		case own[i] != 1 && d == 1:
			return nil, 0, &NoMapError{fmt.Sprintf("N×%v is multiplied with several matrices each, "+
				"of the constant of shape %v", x, w)}
		case own[i] != 1 && own[i] != int64(d):
			return nil, 0, fmt.Errorf("a constant of shape %v does not take N×%v: %d is not %d", w, x, own[i], d)
		}
		if groups *= d; groups > MaxAxis {
			return nil, 0, fmt.Errorf("N×%v: more than %d matrices", x, MaxAxis)
		}
	}
	return own, groups, nil
}

// place numbers the place of g, a place on axes of lengths lead, on the axes own:
// those of length 1 have it at 0.
func place(g int, lead []int, own []int64) int32 {
	at, scale := 0, 1
	for i := len(lead) - 1; i >= 0; i-- {
		if own[i] != 1 {
			at += g % lead[i] * scale
			scale *= lead[i]
		}
		g /= lead[i]
	}
	return int32(at)
}
