package cuda

import (
	"errors"
	"fmt"
	"slices"

	"efcn/internal/kernel"
)

// Products are matrix products that each of some samples has for itself, of values with
// the batch last: c = a·b, where a is m×k, b is k×n and c is m×n for a sample, row-major.
// Two may have a factor in common, and none a result.
type Products struct {
	m, n, k, batch int
	a, b, c        int // elements of the values
	// forward makes c, byA and byB the gradients.
	forward, byA, byB productTable
}

// productTable lists the products whose sum a result is.
type productTable struct {
	results        int
	starts         Buffer[int64]
	left, right, c Buffer[int32]
}

// NewProducts readies products of batch samples: product i has the matrices that begin
// at element aAt[i], bAt[i] and cAt[i] of a sample. Free gives their tables back.
func NewProducts(t *Thread, m, n, k, batch int, aAt, bAt, cAt []int32) (*Products, error) {
	if len(bAt) != len(aAt) || len(cAt) != len(aAt) {
		return nil, fmt.Errorf("products: %d, %d and %d matrices", len(aAt), len(bAt), len(cAt))
	}
	if err := checkInts("products", m, n, k, batch); err != nil {
		return nil, err
	}
	p := &Products{m: m, n: n, k: k, batch: batch}
	for i := range aAt {
		p.a, p.b, p.c = max(p.a, int(aAt[i])+m*k), max(p.b, int(bAt[i])+k*n), max(p.c, int(cAt[i])+m*n)
	}
	err := errors.Join(p.forward.fill(t, cAt, aAt, bAt), p.byA.fill(t, aAt, cAt, bAt), p.byB.fill(t, bAt, aAt, cAt))
	if err != nil {
		return nil, errors.Join(err, p.Free(t))
	}
	return p, nil
}

// fill makes a table of results that begin at to, products with one result in a list.
func (p *productTable) fill(t *Thread, to, left, right []int32) error {
	at := slices.Compact(slices.Sorted(slices.Values(to)))
	starts := []int64{0}
	var lefts, rights []int32
	for _, c := range at {
		for i := range to {
			if to[i] == c {
				lefts, rights = append(lefts, left[i]), append(rights, right[i])
			}
		}
		starts = append(starts, int64(len(lefts)))
	}
	p.results = len(at)
	var errs [4]error
	p.starts, errs[0] = Made(t, starts)
	p.left, errs[1] = Made(t, lefts)
	p.right, errs[2] = Made(t, rights)
	p.c, errs[3] = Made(t, at)
	return errors.Join(errs[:]...)
}

// Free gives the tables back.
func (p *Products) Free(t *Thread) error {
	var errs []error
	for _, table := range []productTable{p.forward, p.byA, p.byB} {
		errs = append(errs, table.starts.Free(t), table.left.Free(t), table.right.Free(t), table.c.Free(t))
	}
	return errors.Join(errs...)
}

func (p *Products) check(a, b, c int) error {
	return check("products", need{"a", a, p.a * p.batch}, need{"b", b, p.b * p.batch}, need{"c", c, p.c * p.batch})
}

// launchProducts makes the results of a table, m×n: the steps are those from element to
// element of the factors, m×k and k×n, along their axes.
func launchProducts[T kernel.Float](
	s *Stream, table productTable, m, n, k, batch int, steps [4]int, a, b, c Buffer[T],
) error {
	const side = 4
	threads := table.results * ((m + side - 1) / side) * ((n + side - 1) / side) * batch
	return launch[T](s, "products", over(threads), table.results, word(m), word(n), word(k), word(batch), table.starts,
		table.left, table.right, table.c, word(steps[0]), word(steps[1]), word(steps[2]), word(steps[3]), a, b, c)
}

// MultiplyValues computes c.
func MultiplyValues[T kernel.Float](s *Stream, p *Products, a, b, c Buffer[T]) error {
	if err := p.check(a.n, b.n, c.n); err != nil {
		return err
	}
	return launchProducts(s, p.forward, p.m, p.n, p.k, p.batch, [4]int{p.k, 1, p.n, 1}, a, b, c)
}

// MultiplyValuesA computes da = dc·bᵀ.
func MultiplyValuesA[T kernel.Float](s *Stream, p *Products, dc, b, da Buffer[T]) error {
	if err := p.check(da.n, b.n, dc.n); err != nil {
		return err
	}
	return launchProducts(s, p.byA, p.m, p.k, p.n, p.batch, [4]int{p.n, 1, 1, p.n}, dc, b, da)
}

// MultiplyValuesB computes db = aᵀ·dc.
func MultiplyValuesB[T kernel.Float](s *Stream, p *Products, a, dc, db Buffer[T]) error {
	if err := p.check(a.n, db.n, dc.n); err != nil {
		return err
	}
	return launchProducts(s, p.byB, p.k, p.n, p.m, p.batch, [4]int{1, p.k, p.n, 1}, a, dc, db)
}
