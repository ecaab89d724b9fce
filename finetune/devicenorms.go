package finetune

import (
	"efcn/internal/cuda"
	"efcn/internal/kernel"
)

// deviceNorms measures the gradients of a step on a device, as gradientNorms does.
type deviceNorms[T kernel.Float] struct {
	sums     cuda.Buffer[float64] // for each parameter: trained, inside, outside
	at       map[string]int       // where those of a parameter begin
	supports map[string]cuda.Buffer[uint32]
}

const normSums = 3

// newDeviceNorms readies what a run with a checkpoint measures.
func newDeviceNorms[T kernel.Float](d *deviceMemory[T], t *cuda.Thread) (*deviceNorms[T], error) {
	n := &deviceNorms[T]{at: map[string]int{}, supports: map[string]cuda.Buffer[uint32]{}}
	for i, p := range d.trainee.params {
		n.at[p.name] = normSums * i
		s := d.trainee.supports[p.name]
		if s.Map == nil || p.frozen {
			continue
		}
		bits, err := d.bits(t, len(p.values), &mask{support: s.Map}, s.row, len(p.values)/max(1, s.Cols()))
		if err != nil {
			return nil, err
		}
		n.supports[p.name] = bits
	}
	var err error
	n.sums, err = allocated[float64](d, t, normSums*len(d.trainee.params))
	return n, err
}

// sum adds the squares of a gradient, or of a part of it, to sum i of a parameter; the
// first begins it.
func (n *deviceNorms[T]) sum(s *cuda.Stream, u *deviceUpdate[T], p *parameter[T], i int, first bool,
	g cuda.Buffer[T], bits cuda.Buffer[uint32], part cuda.Part,
) error {
	keep := 1.0
	if first {
		keep = 0
	}
	at := n.at[p.name] + i
	return cuda.SumSquares(s, g, bits, part, keep, u.room, n.sums.Part(at, at+1))
}

// whole measures a gradient, or the part of it from element at on, before anything of it
// is left out.
func (n *deviceNorms[T]) whole(s *cuda.Stream, u *deviceUpdate[T], p *parameter[T], at int, g cuda.Buffer[T]) error {
	bits := n.supports[p.name]
	if bits.Len() == 0 || g.Len() == 0 {
		return nil
	}
	bits = bits.Part(at/32, bits.Len())
	if err := n.sum(s, u, p, 1, at == 0, g, bits, cuda.Inside); err != nil {
		return err
	}
	return n.sum(s, u, p, 2, at == 0, g, bits, cuda.Outside)
}

// trained measures what is left of it.
func (n *deviceNorms[T]) trained(s *cuda.Stream, u *deviceUpdate[T], p *parameter[T], at int, g cuda.Buffer[T]) error {
	return n.sum(s, u, p, 0, at == 0, g, cuda.Buffer[uint32]{}, cuda.Outside)
}

// read waits for the sums and adds them to what the step has measured. of are the
// parameters whose gradients the step has.
func (n *deviceNorms[T]) read(s *cuda.Stream, of []*parameter[T], to *gradientNorms[T]) error {
	sums := make([]float64, n.sums.Len())
	if err := cuda.Read(s, sums, n.sums); err != nil {
		return err
	}
	for _, p := range of {
		at := n.at[p.name]
		to.squares.Trained[p.name] = sums[at]
		if n.supports[p.name].Len() > 0 {
			to.squares.Inside[p.name], to.squares.Outside[p.name] = sums[at+1], sums[at+2]
		}
	}
	return nil
}

// bits puts a bit for each of the n entries of so many rows on the device, 1 for those in
// the mask; first is the first of the rows.
func (d *deviceMemory[T]) bits(t *cuda.Thread, n int, k *mask, first, rows int) (cuda.Buffer[uint32], error) {
	b, err := allocated[uint32](d, t, (n+31)/32)
	if err != nil || d.counting {
		return b, err
	}
	words := make([]uint32, b.Len())
	before := first * k.support.Cols()
	k.rows(first, first+rows, true, func(lo, hi int) {
		for i := lo - before; i < hi-before; i++ {
			words[i/32] |= 1 << (i % 32)
		}
	})
	return b, cuda.Write(t.Stream(), b, words)
}
