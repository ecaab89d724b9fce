package finetune

import (
	"efcn/internal/kernel"
)

func init() {
	register("Transpose", emitTranspose[float32], emitTranspose[float64])
	register("Gather", emitGather[float32], emitGather[float64])
}

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

func emitTranspose[T kernel.Float](n *node[T]) error {
	x, err := n.activation(0)
	if err != nil {
		return err
	}
	perm, err := n.Ints("perm")
	if err != nil {
		return n.Wrap(err)
	}
	rank := len(x.shape) + 1
	if perm == nil {
		for a := range rank {
			perm = append(perm, int64(rank-1-a))
		}
	}
	if len(perm) != rank {
		return n.Errorf("perm %v: the input has %d axes", perm, rank)
	}
	seen := make([]bool, rank)
	for _, a := range perm {
		if a < 0 || int(a) >= rank || seen[a] {
			return n.Errorf("perm %v is no permutation of %d axes", perm, rank)
		}
		seen[a] = true
	}
	if perm[0] != 0 {
		return n.Errorf("perm %v moves the batch; training needs it on the first axis", perm)
	}
	// strides[a]: distance in the input between neighbours along output axis a.
	shape, strides := make([]int, rank-1), make([]int, rank-1)
	for a, from := range perm[1:] {
		shape[a], strides[a] = x.shape[from-1], product(x.shape[from:])
	}
	return n.emit(&selection[T]{n.b.a.net.batch, x.size(), walk(shape, strides)}, shape, []value{x})
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

// emitGather selects along one axis of the sample by constant indices.
func emitGather[T kernel.Float](n *node[T]) error {
	x, err := n.activation(0)
	if err != nil {
		return err
	}
	axis, err := n.Int("axis", 0)
	if err != nil {
		return n.Wrap(err)
	}
	if axis < 0 {
		axis += int64(len(x.shape) + 1)
	}
	if axis < 1 || int(axis) > len(x.shape) {
		return n.Errorf("axis %d; training gathers along axes of the sample, 1 to %d", axis, len(x.shape))
	}
	t, err := n.constant(1)
	if err != nil {
		return err
	}
	indices, err := n.ints(1)
	if err != nil {
		return err
	}
	shape, err := n.outputShape()
	if err != nil {
		return err
	}
	a := int(axis) - 1
	extent, inner := x.shape[a], product(x.shape[a+1:])
	from := make([]int32, 0, product(shape))
	for outer := range product(x.shape[:a]) {
		for _, index := range indices {
			if index < 0 {
				index += int64(extent)
			}
			if index < 0 || index >= int64(extent) {
				return n.Errorf("indices %q: %d is outside an axis of %d", t.Name, index, extent)
			}
			for i := range inner {
				from = append(from, int32((outer*extent+int(index))*inner+i))
			}
		}
	}
	if len(from) != product(shape) {
		return n.Errorf("indices %q give %d elements, want shape %v", t.Name, len(from), shape)
	}
	return n.emit(&selection[T]{n.b.a.net.batch, x.size(), from}, shape, []value{x})
}
