package finetune

import "efcn/internal/cuda"

func (l *products[T]) onDevice(m *formMaker[T]) (deviceForm[T], error) {
	if l.weight >= 0 {
		return l.byWeight(m.n).form(), nil
	}
	// Those of sample 0 are the first: the batch is the first axis.
	count := len(l.cAt) / m.n
	p, err := cuda.NewProducts(m.thread, l.m, l.n, l.k, m.n, l.aAt[:count], l.bAt[:count], l.cAt[:count])
	if err != nil {
		return deviceForm[T]{}, err
	}
	m.keep(p.Free)
	return deviceForm[T]{
		forward: func(s *cuda.Stream, in []cuda.Buffer[T], y cuda.Buffer[T]) error {
			return cuda.MultiplyValues(s, p, in[l.a], in[l.b], y)
		},
		backward: func(s *cuda.Stream, q devicePass[T]) error {
			if da := q.din[l.a]; da.Len() > 0 {
				if err := cuda.MultiplyValuesA(s, p, q.dout, q.in[l.b], da); err != nil {
					return err
				}
			}
			if db := q.din[l.b]; db.Len() > 0 {
				return cuda.MultiplyValuesB(s, p, q.in[l.a], q.dout, db)
			}
			return nil
		},
	}, nil
}

// deviceProducts are products of a value and weights on a device. A weight that is the
// first factor multiplies matrices with a column for each element of a row and sample, one
// that is the second each row by itself, with a column for each sample.
type deviceProducts[T float32 | float64] struct {
	*products[T]
	batch, count int
	rows         int // of the first factor, for each sample
	second       bool
}

func (l *products[T]) byWeight(batch int) *deviceProducts[T] {
	d := &deviceProducts[T]{products: l, batch: batch, count: len(l.cAt) / batch, rows: l.m, second: l.b == l.weight}
	if d.count == 0 { // the batch is among the rows
		d.count, d.rows = 1, l.m/batch
	}
	return d
}

// of returns product i of the weights w and the value x, whose result is y.
func (d *deviceProducts[T]) of(i int, w, x, y cuda.Buffer[T]) cuda.Product[T] {
	c := y.Part(int(d.cAt[i])*d.batch, y.Len())
	if d.second {
		return cuda.Product[T]{
			TransA: true, M: d.n, N: d.batch, K: d.k, Alpha: 1, A: w.Part(int(d.bAt[i]), w.Len()),
			B: x.Part(int(d.aAt[i])*d.batch, x.Len()), C: c, Count: d.rows, StrideB: d.k * d.batch, StrideC: d.n * d.batch,
		}
	}
	return cuda.Product[T]{
		M: d.m, N: d.n * d.batch, K: d.k, Alpha: 1, A: w.Part(int(d.aAt[i]), w.Len()),
		B: x.Part(int(d.bAt[i])*d.batch, x.Len()), C: c,
	}
}

func (d *deviceProducts[T]) form() deviceForm[T] {
	w, x := d.weight, 1-d.weight
	return deviceForm[T]{
		forward: func(s *cuda.Stream, in []cuda.Buffer[T], y cuda.Buffer[T]) error {
			for i := range d.count {
				if err := cuda.Gemm(s, d.of(i, in[w], in[x], y)); err != nil {
					return err
				}
			}
			return nil
		},
		backward: func(s *cuda.Stream, p devicePass[T]) error {
			for _, b := range p.din { // several products may have a factor in common
				if err := cuda.Clear(s, b); err != nil {
					return err
				}
			}
			for i := range d.count {
				if err := d.backward(s, i, p, p.din[w], p.din[x]); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// backward adds what product i gives to the gradients, as far as they are wanted: wᵀ·dy
// and dy·xᵀ.
func (d *deviceProducts[T]) backward(s *cuda.Stream, i int, p devicePass[T], dw, dx cuda.Buffer[T]) error {
	q := d.of(i, p.in[d.weight], p.in[1-d.weight], p.dout)
	if dx.Len() > 0 {
		g := d.of(i, p.in[d.weight], dx, p.dout)
		g.TransA, g.M, g.K, g.B, g.C, g.StrideB, g.StrideC, g.Beta = !q.TransA, q.K, q.M, q.C, g.B, q.StrideC, q.StrideB, 1
		if err := cuda.Gemm(s, g); err != nil {
			return err
		}
	}
	if dw.Len() == 0 {
		return nil
	}
	at := int(d.aAt[i])
	if d.second {
		at = int(d.bAt[i])
	}
	for row := range max(1, q.Count) {
		y, x := q.C.Part(row*q.StrideC, q.C.Len()), q.B.Part(row*q.StrideB, q.B.Len())
		g := cuda.Product[T]{TransB: true, M: q.M, N: q.K, K: q.N, Alpha: 1, Beta: 1, A: y, B: x, C: dw.Part(at, dw.Len())}
		if d.second { // the weights are k×n
			g.M, g.N, g.A, g.B = q.K, q.M, x, y
		}
		if err := cuda.Gemm(s, g); err != nil {
			return err
		}
	}
	return nil
}
