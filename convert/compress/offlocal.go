package compress

import (
	"context"

	"efcn/convert/affine"
	"efcn/convert/record"
	"efcn/internal/kernel"
)

// factors are the two factors of a product that is not formed: left [rows, rank] and
// right [cols, rank], the transpose of V, in float64. The zero value has rank 0.
type factors struct {
	left, right []float64
	rank        int
}

// product is entry (r, c) of left·rightᵀ.
func (f *factors) product(r int, c int32) (sum float64) {
	right := f.right[int(c)*f.rank:]
	for i, u := range f.left[r*f.rank : (r+1)*f.rank] {
		sum += u * right[i]
	}
	return sum
}

// layer is a layer of an eFCN whose operator has a support.
type layer struct {
	*record.Matrix
	support *affine.Map
	factors // of a factored layer
}

func newLayer(a *record.Matrix, support *affine.Map) (*layer, error) {
	l := &layer{Matrix: a, support: support}
	u, v, rank, err := a.Factors()
	if rank > 0 && err == nil {
		l.factors = factors{doubles(u), doubles(affine.Transposed(v, rank, a.Cols)), rank}
	}
	return l, err
}

func doubles(v []float32) []float64 {
	d := make([]float64, len(v))
	for i, x := range v {
		d[i] = float64(x)
	}
	return d
}

// columns lists the columns of a row that are in the support, ascending: channel by
// channel, and tap by tap as the slots of the local form are.
type columns struct {
	support *affine.Map
	taps    []affine.Tap
	cols    []int32
}

func (c *columns) of(r int) []int32 {
	m := c.support
	c.taps = m.Taps.At(r%m.Taps.Out, c.taps)
	first, channels := m.Channels(r)
	c.cols = c.cols[:0]
	for i := range channels {
		for _, t := range c.taps {
			c.cols = append(c.cols, int32((first+i)*m.Taps.In)+t.In)
		}
	}
	return c.cols
}

// eachSupport visits every row with its columns in the support and the entries there.
func (l *layer) eachSupport(ctx context.Context, visit func(r int, cols []int32, w []float64)) error {
	in := columns{support: l.support}
	var w []float64
	return l.EachStored(ctx, func(r int, row []float32, _ []int32) error {
		cols := in.of(r)
		w = w[:0]
		for _, c := range cols {
			w = append(w, float64(row[c])+l.product(r, c))
		}
		visit(r, cols, w)
		return nil
	})
}

// offLocal is the part of a layer's matrix outside the support, as its products: it is
// read block by block, and of a factored layer it is U·V less what that has inside.
type offLocal struct{ *layer }

// Dims returns the size of the matrix.
func (o offLocal) Dims() (rows, cols int) { return o.Rows, o.Cols }

// blockElements is about how many entries of a matrix are multiplied at a time.
const blockElements = 1 << 22

// each reads the stored rows outside the support, those of a dense matrix n at a time
// and those of a sparse one one by one. Of the local form nothing is stored there.
func (o offLocal) each(
	ctx context.Context, dense func(first int, rows []float64), sparse func(r int, row []float32, stored []int32),
) error {
	if o.Layer.Layout.LocalForm() {
		return nil
	}
	in := columns{support: o.support}
	rows := max(16, min(512, blockElements/max(1, o.Cols)))
	var block []float64
	first := 0
	err := o.EachStored(ctx, func(r int, row []float32, stored []int32) error {
		for _, c := range in.of(r) {
			row[c] = 0
		}
		if stored != nil {
			sparse(r, row, stored)
			return nil
		}
		if block == nil {
			block = make([]float64, 0, rows*o.Cols)
		}
		for _, v := range row {
			block = append(block, float64(v))
		}
		if len(block) == cap(block) {
			dense(first, block)
			block, first = block[:0], r+1
		}
		return nil
	})
	if len(block) > 0 && err == nil {
		dense(first, block)
	}
	return err
}

// Mul computes dst [Rows, k] = W_off·x, x [Cols, k].
func (o offLocal) Mul(ctx context.Context, dst, x []float64, k int) error {
	clear(dst)
	err := o.each(ctx, func(first int, block []float64) {
		kernel.Gemm(false, false, len(block)/o.Cols, k, o.Cols, 1, block, o.Cols, x, k, 0, dst[first*k:], k)
	}, func(r int, row []float32, stored []int32) {
		for _, c := range stored {
			axpy(float64(row[c]), x[int(c)*k:][:k], dst[r*k:])
		}
	})
	if err != nil || o.rank == 0 {
		return err
	}
	inner := make([]float64, o.rank*k)
	kernel.Gemm(true, false, o.rank, k, o.Cols, 1, o.right, o.rank, x, k, 0, inner, k)
	kernel.Gemm(false, false, o.Rows, k, o.rank, 1, o.left, o.rank, inner, k, 0, dst, k)
	kernel.Parallel(o.Rows, 64, func(lo, hi int) {
		in := columns{support: o.support}
		for r := lo; r < hi; r++ {
			for _, c := range in.of(r) {
				axpy(-o.product(r, c), x[int(c)*k:][:k], dst[r*k:])
			}
		}
	})
	return nil
}

// MulT computes dst [Cols, k] = W_offᵀ·y, y [Rows, k].
func (o offLocal) MulT(ctx context.Context, dst, y []float64, k int) error {
	clear(dst)
	err := o.each(ctx, func(first int, block []float64) {
		kernel.Gemm(true, false, o.Cols, k, len(block)/o.Cols, 1, block, o.Cols, y[first*k:], k, 1, dst, k)
	}, func(r int, row []float32, stored []int32) {
		for _, c := range stored {
			axpy(float64(row[c]), y[r*k:][:k], dst[int(c)*k:])
		}
	})
	if err != nil || o.rank == 0 {
		return err
	}
	inner := make([]float64, o.rank*k)
	kernel.Gemm(true, false, o.rank, k, o.Rows, 1, o.left, o.rank, y, k, 0, inner, k)
	kernel.Gemm(false, false, o.Cols, k, o.rank, 1, o.right, o.rank, inner, k, 0, dst, k)
	// Rows meet in one column of the matrix: each thread has vectors of its own.
	kernel.Parallel(k, (k+kernel.Threads()-1)/kernel.Threads(), func(lo, hi int) {
		in := columns{support: o.support}
		for r := range o.Rows {
			for _, c := range in.of(r) {
				axpy(-o.product(r, c), y[r*k+lo:r*k+hi], dst[int(c)*k+lo:])
			}
		}
	})
	return nil
}

// axpy adds a·x to y.
func axpy(a float64, x, y []float64) {
	if a == 0 {
		return
	}
	y = y[:len(x)]
	for i, v := range x {
		y[i] += a * v
	}
}
