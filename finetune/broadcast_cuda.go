package finetune

import (
	"slices"

	"efcn/internal/cuda"
)

// devicePair is a function of two operands on a device: an input of the layer each, or a
// constant.
type devicePair[T float32 | float64] struct {
	cuda.Pairing        // Rows follow from the result
	input        [2]int // -1 for a constant
	fixed        [2]cuda.Buffer[T]
}

func (d *devicePair[T]) operand(in []cuda.Buffer[T], k int) cuda.Buffer[T] {
	if d.input[k] < 0 {
		return d.fixed[k]
	}
	return in[d.input[k]]
}

// pairing is that for a result y.
func (d *devicePair[T]) pairing(y cuda.Buffer[T]) cuda.Pairing {
	p := d.Pairing
	p.Rows = y.Len() / p.N
	return p
}

func (d *devicePair[T]) form() deviceForm[T] {
	return deviceForm[T]{
		forward: func(s *cuda.Stream, in []cuda.Buffer[T], y cuda.Buffer[T]) error {
			return cuda.Combine(s, d.pairing(y), d.operand(in, 0), d.operand(in, 1), y)
		},
		backward: func(s *cuda.Stream, p devicePass[T]) error {
			for k, i := range d.input {
				if i < 0 || p.din[i].Len() == 0 {
					continue
				}
				err := cuda.CombineBackward(s, d.pairing(p.dout), k, d.operand(p.in, 0), d.operand(p.in, 1), p.dout,
					p.din[i])
				if err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// rows makes the arrangement in which row r of so many meets row of(r) of in others, which
// are broadcast over them; nil where nothing is.
func (m *formMaker[T]) rows(in, rows int, of func(r int) int) (*cuda.Arrangement, error) {
	if in == rows {
		return nil, nil
	}
	from := make([]int32, rows)
	for r := range from {
		from[r] = int32(of(r))
	}
	return m.arrangement(in, from)
}

// arrangement makes one and keeps it as long as the network lives.
func (m *formMaker[T]) arrangement(in int, from []int32) (*cuda.Arrangement, error) {
	a, err := cuda.NewArrangement(m.thread, in, from)
	if err == nil {
		m.keep(a.Free)
	}
	return a, err
}

// onDevice has no form for a weight with an axis for the batch, which would lie the other
// way round there.
func (z *zip[T]) onDevice(m *formMaker[T]) (deviceForm[T], error) {
	d := &devicePair[T]{input: z.input}
	d.F, d.N = z.f.on, m.n
	rows, axes := z.size/m.n, append(slices.Clone(z.rows), len(z.dims)-1)
	for k := range d.Over {
		size := z.sizes[k]
		d.Moves[k] = m.n > 1 && z.at(axes, rows)[k] != 0
		if d.Moves[k] {
			size /= m.n
			if z.weight == k {
				return deviceForm[T]{}, errNoForm
			}
		}
		var err error
		if d.Over[k], err = m.rows(size, rows, func(r int) int { return z.at(axes, r)[k] }); err != nil {
			return deviceForm[T]{}, err
		}
		if z.input[k] >= 0 {
			continue
		}
		fixed := z.fixed[k]
		if d.Moves[k] {
			fixed = batchLast(m.n, fixed)
		}
		if d.fixed[k], err = m.constant(fixed); err != nil {
			return deviceForm[T]{}, err
		}
	}
	return d.form(), nil
}

// batchLast transposes samples, n×size.
func batchLast[T any](n int, x []T) []T {
	y, size := make([]T, len(x)), len(x)/n
	for i, v := range x {
		y[i%size*n+i/size] = v
	}
	return y
}
