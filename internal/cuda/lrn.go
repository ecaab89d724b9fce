package cuda

import (
	"errors"

	"efcn/internal/kernel"
)

// LRN is a local response normalisation along [Lines]: y = x·s^−Beta with s = Bias +
// Alpha·Σx² over the elements from Before before to After after.
type LRN struct {
	Lines
	Before, After     int
	Alpha, Beta, Bias float64
}

func (l *LRN) check(call string, lengths ...int) error {
	errs := []error{checkInts(call, l.Before, l.After)}
	for _, n := range lengths {
		errs = append(errs, check(call, need{"a value", n, l.size()}))
	}
	return errors.Join(errs...)
}

// LocalResponse computes y, and s, which the gradient needs.
func LocalResponse[T kernel.Float](s *Stream, l LRN, x, sums, y Buffer[T]) error {
	if err := l.check("lrn", x.n, sums.n, y.n); err != nil {
		return err
	}
	return launch[T](s, "lrn", over(l.size()), l.Outer, l.Length, l.Inner, word(l.Before), word(l.After), l.Alpha, l.Beta,
		l.Bias, x, sums, y)
}

// LocalResponseBackward computes dx from dy, x and s.
func LocalResponseBackward[T kernel.Float](s *Stream, l LRN, x, sums, dy, dx Buffer[T]) error {
	if err := l.check("lrn_backward", x.n, sums.n, dy.n, dx.n); err != nil {
		return err
	}
	return launch[T](s, "lrn_backward", over(l.size()), l.Outer, l.Length, l.Inner, word(l.Before), word(l.After), l.Alpha,
		l.Beta, x, sums, dy, dx)
}
