package cuda

import (
	"errors"
	"fmt"
	"slices"

	"efcn/internal/kernel"
)

// Arrangement moves rows: row r of the output is row From[r] of the input, or stays what
// it was. It is also how an operand is broadcast over a result ([Combine]), and how rows
// are put into groups: row r is in group From[r] ([Reduce], [GroupNorm]).
type Arrangement struct {
	in, out int // rows
	gaps    bool
	from    Buffer[int32]
	readers readers
}

// whole returns an error of a call for an arrangement in which some rows of so many are
// from nowhere.
func (a *Arrangement) whole(call string, rows int) error {
	if a.gaps || a.out != rows {
		return fmt.Errorf("%s: an arrangement of %d rows, with gaps: %v; want %d without any", call, a.out, a.gaps, rows)
	}
	return nil
}

// columns is how many sums over the lists of rows a block makes side by side; see
// kernels/lists.h. Their order depends on it.
func (a *Arrangement) columns() int {
	if a.out <= 8*a.in {
		return team
	}
	return 32
}

// readers list for each of some things the places that read it, in ascending order: those
// of i are at[starts[i]:starts[i+1]].
type readers struct {
	starts Buffer[int64]
	at     Buffer[int32]
}

// newReaders makes the lists for n things, where place i reads read[i], or nothing if that
// is negative.
func newReaders(t *Thread, n int, read []int32) (readers, error) {
	starts := make([]int64, n+1)
	for _, i := range read {
		if i >= 0 {
			starts[i+1]++
		}
	}
	for i := range n {
		starts[i+1] += starts[i]
	}
	next, at := append([]int64{}, starts...), make([]int32, starts[n])
	for place, i := range read {
		if i >= 0 {
			at[next[i]] = int32(place)
			next[i]++
		}
	}
	var r readers
	var errs [2]error
	r.starts, errs[0] = Made(t, starts)
	r.at, errs[1] = Made(t, at)
	return r, errors.Join(errs[:]...)
}

func (r *readers) free(t *Thread) error { return errors.Join(r.starts.Free(t), r.at.Free(t)) }

// NewArrangement readies an arrangement of in rows, of which from says where each row of
// the output comes from; -1 for nowhere. Free gives its tables back.
func NewArrangement(t *Thread, in int, from []int32) (*Arrangement, error) {
	if err := checkInts("arrange", in, len(from)); err != nil {
		return nil, err
	}
	for r, i := range from {
		if i < -1 || int(i) >= in {
			return nil, fmt.Errorf("arrange: row %d is from row %d of %d", r, i, in)
		}
	}
	a := &Arrangement{in: in, out: len(from), gaps: slices.Contains(from, -1)}
	var errs [2]error
	a.from, errs[0] = Made(t, from)
	a.readers, errs[1] = newReaders(t, in, from)
	if err := errors.Join(errs[:]...); err != nil {
		return nil, errors.Join(err, a.Free(t))
	}
	return a, nil
}

// Free gives the tables back.
func (a *Arrangement) Free(t *Thread) error { return errors.Join(a.from.Free(t), a.readers.free(t)) }

// Arrange moves rows of n elements from x to y. Rows of y that come from nowhere stay.
func Arrange[T kernel.Float](s *Stream, a *Arrangement, n int, x, y Buffer[T]) error {
	if err := check("arrange", need{"x", x.n, a.in * n}, need{"y", y.n, a.out * n}); err != nil {
		return err
	}
	return launch[T](s, "arrange", over(a.out*n), a.out, n, a.from, x, y)
}

// ArrangeBackward computes dx, the gradient at x, from that at y.
func ArrangeBackward[T kernel.Float](s *Stream, a *Arrangement, n int, dy, dx Buffer[T]) error {
	if err := check("arrange_backward", need{"dx", dx.n, a.in * n}, need{"dy", dy.n, a.out * n}); err != nil {
		return err
	}
	return launch[T](s, "arrange_backward", over(a.in*n), a.in, n, a.readers.starts, a.readers.at, dy, dx)
}
