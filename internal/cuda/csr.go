package cuda

import (
	"errors"

	"efcn/internal/kernel"
)

// CSR computes the products of a sparse matrix with batches of n vectors, as
// [kernel.CSRLayer] does, with the batch last: x is Cols×n, y Rows×n, and v holds the
// stored entries.
type CSR struct {
	n, rows, cols, entries int
	starts                 Buffer[int64]
	columns, rowOf         Buffer[int32] // of each entry
	ofColumn               readers       // the entries of each column
}

// NewCSR readies the products. Free gives their tables back.
func NewCSR(t *Thread, p kernel.CSR, n int) (*CSR, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	if err := checkInts("csr", n, p.Rows, p.Cols, len(p.Columns)); err != nil {
		return nil, err
	}
	d := &CSR{n: n, rows: p.Rows, cols: p.Cols, entries: len(p.Columns)}
	starts, rowOf := make([]int64, p.Rows+1), make([]int32, d.entries)
	for r, start := range p.Starts {
		starts[r] = int64(start)
	}
	for r := range p.Rows {
		for k := p.Starts[r]; k < p.Starts[r+1]; k++ {
			rowOf[k] = int32(r)
		}
	}
	var errs [4]error
	d.starts, errs[0] = Made(t, starts)
	d.columns, errs[1] = Made(t, p.Columns)
	d.rowOf, errs[2] = Made(t, rowOf)
	d.ofColumn, errs[3] = newReaders(t, p.Cols, p.Columns)
	if err := errors.Join(errs[:]...); err != nil {
		return nil, errors.Join(err, d.Free(t))
	}
	return d, nil
}

// Free gives the tables back.
func (c *CSR) Free(t *Thread) error {
	return errors.Join(c.starts.Free(t), c.columns.Free(t), c.rowOf.Free(t), c.ofColumn.free(t))
}

// CSRForward computes y = A·x + bias; an empty bias adds nothing.
func CSRForward[T kernel.Float](s *Stream, c *CSR, v, x, bias, y Buffer[T]) error {
	needs := []need{{"v", v.n, c.entries}, {"x", x.n, c.cols * c.n}, {"y", y.n, c.rows * c.n}}
	if bias.n > 0 {
		needs = append(needs, need{"bias", bias.n, c.rows})
	}
	if err := check("csr forward", needs...); err != nil {
		return err
	}
	return launch[T](s, "csr_forward", over(c.rows*c.n), c.rows, word(c.n), c.starts, c.columns, v, x, bias, y)
}

// CSRInput computes dx = Aᵀ·dy.
func CSRInput[T kernel.Float](s *Stream, c *CSR, v, dy, dx Buffer[T]) error {
	err := check("csr input", need{"v", v.n, c.entries}, need{"dy", dy.n, c.rows * c.n}, need{"dx", dx.n, c.cols * c.n})
	if err != nil {
		return err
	}
	return launch[T](s, "csr_input", over(c.cols*c.n), c.cols, word(c.n), c.ofColumn.starts, c.ofColumn.at, c.rowOf,
		v, dy, dx)
}

// CSRWeights computes dv = alpha·(gradient at the entries) + beta·dv. factors, unless it
// is empty, holds alpha and beta.
func CSRWeights[T kernel.Float](s *Stream, c *CSR, alpha, beta T, factors, x, dy, dv Buffer[T]) error {
	err := check("csr weights", need{"x", x.n, c.cols * c.n}, need{"dy", dy.n, c.rows * c.n}, need{"dv", dv.n, c.entries},
		factorsNeed(factors))
	if err != nil {
		return err
	}
	const together = team / 32 // entries of a block
	return launch[T](s, "csr_weights", blocks{(c.entries + together - 1) / together, 1}, c.entries, word(c.n), alpha, beta,
		factors, c.rowOf, c.columns, x, dy, dv)
}
