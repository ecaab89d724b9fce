package cuda

import (
	"errors"

	"efcn/internal/kernel"
)

// Loss is what [CrossEntropy] returns, n elements each: the loss of each sample, and 1
// where its first greatest logit is at its label, else 0.
type Loss struct{ Losses, Hits Buffer[float64] }

// CrossEntropy computes the softmax cross-entropy of n columns of logits, classes×n, as
// [kernel.CrossEntropy] does. grad, unless it is empty, receives the gradient of the mean
// loss at the logits; it may be logits. Labels are in [0, classes).
func CrossEntropy[T kernel.Float](
	s *Stream, classes, n int, logits Buffer[T], labels Buffer[int32], to Loss, grad Buffer[T],
) error {
	needs := []need{
		{"logits", logits.n, classes * n}, {"labels", labels.n, n}, {"losses", to.Losses.n, n}, {"hits", to.Hits.n, n},
	}
	if grad.n > 0 {
		needs = append(needs, need{"grad", grad.n, classes * n})
	}
	if err := errors.Join(checkInts("cross_entropy", classes, n), check("cross_entropy", needs...)); err != nil {
		return err
	}
	return launch[T](s, "cross_entropy", over(n), word(classes), word(n), logits, labels, to.Losses, to.Hits, grad)
}

// Sum writes keep·to + the sum of parts to to, one element.
func Sum(s *Stream, keep float64, parts, to Buffer[float64]) error {
	if err := check("sum_parts", need{"to", to.n, 1}); err != nil {
		return err
	}
	return launch[float64](s, "sum_parts", blocks{1, 1}, parts.n, keep, parts, to)
}

// Lines are the lines of a tensor along one axis: outer×length×inner, where the batch is
// part of inner.
type Lines struct{ Outer, Length, Inner int }

func (l Lines) size() int { return l.Outer * l.Length * l.Inner }

// Softmax brings each line of x to a sum of 1, or takes the logarithm of that.
func Softmax[T kernel.Float](s *Stream, l Lines, logarithm bool, x, y Buffer[T]) error {
	if err := check("softmax", need{"x", x.n, l.size()}, need{"y", y.n, l.size()}); err != nil {
		return err
	}
	if l.Length == 0 {
		return nil
	}
	return launch[T](s, "softmax", over(l.Outer*l.Inner), l.Outer, l.Length, l.Inner, word(flag(logarithm)), x, y)
}

// SoftmaxBackward computes dx from y and dy.
func SoftmaxBackward[T kernel.Float](s *Stream, l Lines, logarithm bool, y, dy, dx Buffer[T]) error {
	err := check("softmax_backward", need{"y", y.n, l.size()}, need{"dy", dy.n, l.size()}, need{"dx", dx.n, l.size()})
	if err != nil {
		return err
	}
	return launch[T](s, "softmax_backward", over(l.Outer*l.Inner), l.Outer, l.Length, l.Inner, word(flag(logarithm)), y,
		dy, dx)
}
