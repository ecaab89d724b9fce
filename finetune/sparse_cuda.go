package finetune

import "efcn/internal/cuda"

// deviceNeeds: nothing of a pass is kept in an order of its own.
func (*sparseLinear[T]) deviceNeeds() needs { return needs{inputs: true} }

// fusesOnDevice: see linear.
func (l *sparseLinear[T]) fusesOnDevice() bool { return l.alpha == 1 && !l.many }

// deviceSparse is a sparseLinear on a device, for blocks of rows as deviceLinear has them.
type deviceSparse[T float32 | float64] struct {
	*sparseLinear[T]
	matrix   *cuda.CSR
	n, count int
	spread   cuda.Buffer[T] // the bias of all samples, where it is not added as it is
}

func (l *sparseLinear[T]) onDevice(m *formMaker[T]) (deviceForm[T], error) {
	pattern := l.Pattern()
	matrix, err := cuda.NewCSR(m.thread, pattern, m.n)
	if err != nil {
		return deviceForm[T]{}, err
	}
	m.keep(matrix.Free)
	whole := m.scratch(max(len(pattern.Columns), l.out*m.n))
	d := &deviceSparse[T]{l, matrix, m.n, l.rows / m.n, whole}
	return deviceForm[T]{
		forward: d.forward, backward: d.backward,
		update: func(s *cuda.Stream, p devicePass[T], _ int, factors cuda.Buffer[T]) error {
			return d.weights(s, p, 0, 0, 0, factors, p.in[1])
		},
		parts: func(s *cuda.Stream, p devicePass[T], _ int, visit func(at int, part cuda.Buffer[T]) error) error {
			part := whole.Part(0, len(pattern.Columns))
			if err := d.weights(s, p, 0, l.alpha, 0, cuda.Buffer[T]{}, part); err != nil {
				return err
			}
			return visit(0, part)
		},
	}, nil
}

// block returns block i of a value of size elements a row.
func (d *deviceSparse[T]) block(b cuda.Buffer[T], size, i int) cuda.Buffer[T] {
	return b.Part(i*size*d.n, (i+1)*size*d.n)
}

func (d *deviceSparse[T]) forward(s *cuda.Stream, in []cuda.Buffer[T], y cuda.Buffer[T]) error {
	var bias, none cuda.Buffer[T]
	if len(in) > 2 && d.beta != 0 { // with 0 it is not read: it may be NaN
		bias = in[2]
	}
	whole := d.transposed && d.alpha == 1 && d.beta == 1
	for i := range d.count {
		x, to := d.block(in[0], d.in, i), d.block(y, d.out, i)
		var err error
		switch {
		case whole:
			err = cuda.CSRForward(s, d.matrix, in[1], x, bias, to)
		case d.transposed:
			err = cuda.CSRForward(s, d.matrix, in[1], x, none, to)
		default:
			err = cuda.CSRInput(s, d.matrix, in[1], x, to)
		}
		if err != nil {
			return err
		}
	}
	if whole {
		return nil
	}
	if err := scaleBy(s, d.alpha, y); err != nil || bias.Len() == 0 {
		return err
	}
	all := d.spread.Part(0, y.Len())
	if err := cuda.Spread(s, d.n, bias, all); err != nil {
		return err
	}
	if err := scaleBy(s, d.beta, all); err != nil {
		return err
	}
	return cuda.Add(s, y, y, all)
}

func scaleBy[T float32 | float64](s *cuda.Stream, by T, v cuda.Buffer[T]) error {
	if by == 1 {
		return nil
	}
	return cuda.Scale(s, v, by)
}

func (d *deviceSparse[T]) backward(s *cuda.Stream, p devicePass[T]) error {
	for i := 0; p.din[0].Len() > 0 && i < d.count; i++ {
		dy, dx := d.block(p.dout, d.out, i), d.block(p.din[0], d.in, i)
		var err error
		if d.transposed {
			err = cuda.CSRInput(s, d.matrix, p.in[1], dy, dx)
		} else {
			err = cuda.CSRForward(s, d.matrix, p.in[1], dy, cuda.Buffer[T]{}, dx)
		}
		if err != nil {
			return err
		}
	}
	if err := scaleBy(s, d.alpha, p.din[0]); err != nil {
		return err
	}
	for i := 0; p.din[1].Len() > 0 && i < d.count; i++ {
		beta := T(0)
		if i > 0 {
			beta = 1
		}
		if err := d.weights(s, p, i, d.alpha, beta, cuda.Buffer[T]{}, p.din[1]); err != nil {
			return err
		}
	}
	if len(p.din) > 2 && p.din[2].Len() > 0 {
		return cuda.SumRows(s, d.n, d.beta, p.dout, p.din[2])
	}
	return nil
}

// weights computes dst = alpha·(what block i adds to the gradient at the entries) +
// beta·dst.
func (d *deviceSparse[T]) weights(
	s *cuda.Stream, p devicePass[T], i int, alpha, beta T, factors, dst cuda.Buffer[T],
) error {
	x, dy := d.block(p.in[0], d.in, i), d.block(p.dout, d.out, i)
	if !d.transposed { // the rows of the matrix are inputs
		x, dy = dy, x
	}
	return cuda.CSRWeights(s, d.matrix, alpha, beta, factors, x, dy, dst)
}
