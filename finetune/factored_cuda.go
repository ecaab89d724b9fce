package finetune

import "efcn/internal/cuda"

// deviceNeeds hides that of the local form.
func (*factored[T]) deviceNeeds() needs { return needs{inputs: true} }

// deviceFactored adds U·(V·x) to a local form on a device.
type deviceFactored[T float32 | float64] struct {
	*factored[T]
	local   deviceForm[T]
	n       int
	vx, dvx cuda.Buffer[T]
}

func (l *factored[T]) onDevice(m *formMaker[T]) (deviceForm[T], error) {
	local, err := l.local.onDevice(m)
	if err != nil {
		return deviceForm[T]{}, err
	}
	d := &deviceFactored[T]{l, local, m.n, m.buffer(l.vx), m.buffer(l.dvx)}
	part := m.scratch(max(partRows(l.rank, l.in)*l.in, partRows(l.out, l.rank)*l.rank))
	return deviceForm[T]{
		forward: d.forward, backward: d.backward,
		update: func(s *cuda.Stream, p devicePass[T], i int, factors cuda.Buffer[T]) error {
			if i < l.v {
				return local.update(s, d.ofLocal(p), i, factors)
			}
			rows, _ := d.shape(i)
			product := d.gradient(p, i, 0, rows)
			product.Factors, product.C = factors, p.in[i]
			return cuda.Gemm(s, product)
		},
		parts: func(s *cuda.Stream, p devicePass[T], i int, visit func(at int, part cuda.Buffer[T]) error) error {
			if i < l.v {
				return local.parts(s, d.ofLocal(p), i, visit)
			}
			rows, cols := d.shape(i)
			return eachPart(s, rows, cols, partRows(rows, cols), part, visit, func(from, until int) cuda.Product[T] {
				return d.gradient(p, i, from, until)
			})
		},
	}, nil
}

// shape is that of V or U, input i.
func (d *deviceFactored[T]) shape(i int) (rows, cols int) {
	if i == d.v {
		return d.rank, d.in
	}
	return d.out, d.rank
}

func (d *deviceFactored[T]) ofLocal(p devicePass[T]) devicePass[T] {
	p.in, p.din = p.in[:d.v], p.din[:d.v]
	return p
}

func (d *deviceFactored[T]) forward(s *cuda.Stream, in []cuda.Buffer[T], y cuda.Buffer[T]) error {
	if err := d.local.forward(s, in[:d.v], y); err != nil {
		return err
	}
	err := cuda.Gemm(s, cuda.Product[T]{M: d.rank, N: d.n, K: d.in, Alpha: 1, A: in[d.v], B: in[0], C: d.vx})
	if err != nil {
		return err
	}
	return cuda.Gemm(s, cuda.Product[T]{M: d.out, N: d.n, K: d.rank, Alpha: 1, Beta: 1, A: in[d.v+1], B: d.vx, C: y})
}

func (d *deviceFactored[T]) backward(s *cuda.Stream, p devicePass[T]) error {
	if err := d.local.backward(s, d.ofLocal(p)); err != nil {
		return err
	}
	dx := p.din[0]
	if !d.trains && dx.Len() == 0 {
		return nil
	}
	err := cuda.Gemm(s, cuda.Product[T]{
		TransA: true, M: d.rank, N: d.n, K: d.out, Alpha: 1, A: p.in[d.v+1], B: p.dout, C: d.dvx,
	})
	if err == nil && dx.Len() > 0 {
		err = cuda.Gemm(s, cuda.Product[T]{
			TransA: true, M: d.in, N: d.n, K: d.rank, Alpha: 1, Beta: 1, A: p.in[d.v], B: d.dvx, C: dx,
		})
	}
	for i := d.v; i <= d.v+1 && err == nil; i++ {
		if p.din[i].Len() > 0 {
			rows, _ := d.shape(i)
			product := d.gradient(p, i, 0, rows)
			product.C = p.din[i]
			err = cuda.Gemm(s, product)
		}
	}
	return err
}

// gradient is the product for some rows of the gradient at V or U, input i.
func (d *deviceFactored[T]) gradient(p devicePass[T], i, from, until int) cuda.Product[T] {
	left, right := d.dvx, p.in[0]
	if i != d.v {
		left, right = p.dout, d.vx
	}
	_, cols := d.shape(i)
	return cuda.Product[T]{
		TransB: true, M: until - from, N: cols, K: d.n, Alpha: 1, A: left.Part(from*d.n, until*d.n), B: right,
	}
}
