package cuda

import (
	"errors"

	"efcn/internal/kernel"
)

// Reduction makes one number of several, as the ONNX operator of the name does.
type Reduction int

// The reductions, in the order of kernels/reduce.cu.
const (
	ReduceSum Reduction = iota // times a factor
	ReduceL1
	ReduceL2
	ReduceSumSquare
	ReduceLogSum
	ReduceLogSumExp
	ReduceMax // equal ones share the gradient
	ReduceMin
	ReduceProd
)

// Reduce computes y, a row for each group of rows of x, in float64. A sum is multiplied by
// factor. Rows have n samples.
func Reduce[T kernel.Float](
	s *Stream, r Reduction, factor float64, groups *Arrangement, n int, x, y Buffer[T],
) error {
	err := errors.Join(checkInts("reduce", n), groups.whole("reduce", groups.out),
		check("reduce", need{"x", x.n, groups.out * n}, need{"y", y.n, groups.in * n}))
	if err != nil {
		return err
	}
	return launch[T](s, "reduce", over(groups.in*n), groups.in, word(n), word(r), factor, groups.readers.starts,
		groups.readers.at, x, y)
}

// ReduceBackward computes dx from dy, x and y; x and y may be empty for ReduceSum. At a
// norm of 0 the gradient is 0.
func ReduceBackward[T kernel.Float](
	s *Stream, r Reduction, factor float64, groups *Arrangement, n int, x, y, dy, dx Buffer[T],
) error {
	in, out := groups.out*n, groups.in*n
	needs := []need{{"dy", dy.n, out}, {"dx", dx.n, in}}
	if r != ReduceSum {
		needs = append(needs, need{"x", x.n, in}, need{"y", y.n, out})
	}
	err := errors.Join(checkInts("reduce_backward", n), groups.whole("reduce_backward", groups.out),
		check("reduce_backward", needs...))
	if err != nil {
		return err
	}
	return launch[T](s, "reduce_backward", over(out), groups.in, word(n), word(r), factor, groups.readers.starts,
		groups.readers.at, x, y, dy, dx)
}
