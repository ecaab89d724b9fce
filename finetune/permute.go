package finetune

import (
	"efcn/internal/kernel"
)

// selection takes elements of a sample: element i of the output is element
// from[i] of the input.
type selection[T kernel.Float] struct {
	n, size int
	from    []int32
}

func (s *selection[T]) forward(in [][]T, out []T) {
	width := len(s.from)
	kernel.Parallel(s.n, 1+elementGrain/max(1, width), func(lo, hi int) {
		for i := lo; i < hi; i++ {
			x, y := in[0][i*s.size:(i+1)*s.size], out[i*width:(i+1)*width]
			for k, f := range s.from {
				y[k] = x[f]
			}
		}
	})
}

func (s *selection[T]) backward(p pass[T]) {
	width := len(s.from)
	kernel.Parallel(s.n, 1+elementGrain/max(1, width), func(lo, hi int) {
		for i := lo; i < hi; i++ {
			dx, dy := p.din[0][i*s.size:(i+1)*s.size], p.dout[i*width:(i+1)*width]
			clear(dx)
			for k, f := range s.from {
				dx[f] += dy[k]
			}
		}
	})
}

// walk lists the offsets of a row-major walk over shape with the given strides.
func walk(shape, strides []int) []int32 {
	offsets := []int32{0}
	for a, d := range shape {
		next := make([]int32, 0, len(offsets)*d)
		for _, o := range offsets {
			for i := range d {
				next = append(next, o+int32(i*strides[a]))
			}
		}
		offsets = next
	}
	return offsets
}
