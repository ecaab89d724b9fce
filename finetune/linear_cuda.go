package finetune

import (
	"efcn/internal/cuda"
)

// deviceLinear is a linear on a device: for each of count blocks of rows, which begin
// where the axes between batch and features have another index, y = alpha·op(w)·x + beta·b
// with columns for samples.
type deviceLinear[T float32 | float64] struct {
	*linear[T]
	n, count int
}

func (l *linear[T]) onDevice(m *formMaker[T]) (deviceForm[T], error) {
	d := &deviceLinear[T]{l, m.n, l.rows / m.n}
	rows, cols := d.shape()
	step := partRows(rows, cols)
	part := m.scratch(step * cols)
	return deviceForm[T]{
		forward: d.forward, backward: d.backward,
		update: func(s *cuda.Stream, p devicePass[T], _ int, factors cuda.Buffer[T]) error {
			product := d.gradient(p, 0, 0, rows)
			product.Factors, product.C = factors, p.in[1]
			return cuda.Gemm(s, product)
		},
		parts: func(s *cuda.Stream, p devicePass[T], _ int, visit func(at int, part cuda.Buffer[T]) error) error {
			return eachPart(s, rows, cols, step, part, visit, func(from, until int) cuda.Product[T] {
				return d.gradient(p, 0, from, until)
			})
		},
	}, nil
}

// fusesOnDevice: the factors of an update are those of one product, and lie on the device.
func (l *linear[T]) fusesOnDevice() bool { return l.alpha == 1 && !l.many }

// shape is that of the weights.
func (d *deviceLinear[T]) shape() (rows, cols int) {
	if d.transposed {
		return d.out, d.in
	}
	return d.in, d.out
}

func (d *deviceLinear[T]) forward(s *cuda.Stream, in []cuda.Buffer[T], y cuda.Buffer[T]) error {
	p := cuda.Product[T]{
		TransA: !d.transposed, M: d.out, N: d.n, K: d.in, Alpha: d.alpha, A: in[1], B: in[0], C: y,
		Count: d.count, StrideB: d.in * d.n, StrideC: d.out * d.n,
	}
	if len(in) > 2 && d.beta != 0 {
		if err := cuda.Spread(s, d.n, in[2], y); err != nil {
			return err
		}
		p.Beta = d.beta
	}
	return cuda.Gemm(s, p)
}

func (d *deviceLinear[T]) backward(s *cuda.Stream, p devicePass[T]) error {
	if p.din[0].Len() > 0 {
		err := cuda.Gemm(s, cuda.Product[T]{
			TransA: d.transposed, M: d.in, N: d.n, K: d.out, Alpha: d.alpha, A: p.in[1], B: p.dout, C: p.din[0],
			Count: d.count, StrideB: d.out * d.n, StrideC: d.in * d.n,
		})
		if err != nil {
			return err
		}
	}
	rows, _ := d.shape()
	for i := 0; p.din[1].Len() > 0 && i < d.count; i++ {
		product := d.gradient(p, i, 0, rows)
		product.C = p.din[1]
		if i > 0 {
			product.Beta = 1
		}
		if err := cuda.Gemm(s, product); err != nil {
			return err
		}
	}
	if len(p.din) > 2 && p.din[2].Len() > 0 {
		return cuda.SumRows(s, d.n, d.beta, p.dout, p.din[2])
	}
	return nil
}

// gradient is the product for what block i adds to the gradient at some rows of the
// weights.
func (d *deviceLinear[T]) gradient(p devicePass[T], i, from, until int) cuda.Product[T] {
	left, right := p.dout.Part(i*d.out*d.n, (i+1)*d.out*d.n), p.in[0].Part(i*d.in*d.n, (i+1)*d.in*d.n)
	if !d.transposed {
		left, right = right, left
	}
	_, cols := d.shape()
	return cuda.Product[T]{
		TransB: true, M: until - from, N: cols, K: d.n, Alpha: d.alpha, A: left.Part(from*d.n, until*d.n), B: right,
	}
}

// partRows is how many rows of a matrix are made at a time to be measured: as many as
// have bits in whole words of a mask.
func partRows(rows, cols int) int { return min(rows, (partSize/max(1, cols)+32)/32*32) }

// eachPart computes products for step rows of a gradient at a time, in part.
func eachPart[T float32 | float64](
	s *cuda.Stream, rows, cols, step int, part cuda.Buffer[T], visit func(at int, part cuda.Buffer[T]) error,
	product func(from, until int) cuda.Product[T],
) error {
	for from := 0; from < rows; from += step {
		until := min(rows, from+step)
		p := product(from, until)
		p.C = part.Part(0, (until-from)*cols)
		if err := cuda.Gemm(s, p); err != nil {
			return err
		}
		if err := visit(from*cols, p.C); err != nil {
			return err
		}
	}
	return nil
}
