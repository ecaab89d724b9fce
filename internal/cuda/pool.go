package cuda

import (
	"errors"

	"efcn/internal/kernel"
)

// MaxPool computes the greatest value of each window of so many planes (channels) of n
// samples, as [kernel.MaxPool] does: x is planes×In×n, y and argmax planes×Out×n. With
// rectify it is the ReLU of that, but for windows that lie wholly in the padding.
func MaxPool[T kernel.Float](
	s *Stream, w kernel.Window, planes, n int, rectify bool, x, y Buffer[T], argmax Buffer[int32],
) error {
	v, err := toWindow("max_pool", w)
	in, out := planes*w.InSize()*n, planes*w.OutSize()*n
	err = errors.Join(err, checkInts("max_pool", n),
		check("max_pool", need{"x", x.n, in}, need{"y", y.n, out}, need{"argmax", argmax.n, out}))
	if err != nil {
		return err
	}
	return launch[T](s, "max_pool", over(out), planes, word(n), v, word(flag(rectify)), x, y, argmax)
}

// MaxPoolBackward computes dx from dy and what [MaxPool] returned.
func MaxPoolBackward[T kernel.Float](
	s *Stream, w kernel.Window, planes, n int, rectify bool, dy, y Buffer[T], argmax Buffer[int32], dx Buffer[T],
) error {
	v, err := toWindow("max_pool_backward", w)
	in, out := planes*w.InSize()*n, planes*w.OutSize()*n
	err = errors.Join(err, checkInts("max_pool_backward", n), check("max_pool_backward", need{"dx", dx.n, in},
		need{"dy", dy.n, out}, need{"y", y.n, out}, need{"argmax", argmax.n, out}))
	if err != nil {
		return err
	}
	return launch[T](s, "max_pool_backward", over(in), planes, word(n), v, word(flag(rectify)), dy, y, argmax, dx)
}

// AveragePool computes the mean of each window, as [kernel.AveragePool] does.
func AveragePool[T kernel.Float](
	s *Stream, w kernel.Window, includePad bool, planes, n int, x, y Buffer[T],
) error {
	v, err := toWindow("average_pool", w)
	in, out := planes*w.InSize()*n, planes*w.OutSize()*n
	err = errors.Join(err, checkInts("average_pool", n), check("average_pool", need{"x", x.n, in}, need{"y", y.n, out}))
	if err != nil {
		return err
	}
	return launch[T](s, "average_pool", over(out), planes, word(n), v, word(flag(includePad)), x, y)
}

// AveragePoolBackward computes dx from dy.
func AveragePoolBackward[T kernel.Float](
	s *Stream, w kernel.Window, includePad bool, planes, n int, dy, dx Buffer[T],
) error {
	v, err := toWindow("average_pool_backward", w)
	in, out := planes*w.InSize()*n, planes*w.OutSize()*n
	err = errors.Join(err, checkInts("average_pool_backward", n),
		check("average_pool_backward", need{"dx", dx.n, in}, need{"dy", dy.n, out}))
	if err != nil {
		return err
	}
	return launch[T](s, "average_pool_backward", over(in), planes, word(n), v, word(flag(includePad)), dy, dx)
}

// LpPool computes the p-norm of each window, padding counting as zeros.
func LpPool[T kernel.Float](s *Stream, w kernel.Window, p float64, planes, n int, x, y Buffer[T]) error {
	v, err := toWindow("lp_pool", w)
	in, out := planes*w.InSize()*n, planes*w.OutSize()*n
	err = errors.Join(err, checkInts("lp_pool", n), check("lp_pool", need{"x", x.n, in}, need{"y", y.n, out}))
	if err != nil {
		return err
	}
	return launch[T](s, "lp_pool", over(out), planes, word(n), v, p, x, y)
}

// LpPoolBackward computes dx from dy, x and what [LpPool] returned.
func LpPoolBackward[T kernel.Float](
	s *Stream, w kernel.Window, p float64, planes, n int, x, y, dy, dx Buffer[T],
) error {
	v, err := toWindow("lp_pool_backward", w)
	in, out := planes*w.InSize()*n, planes*w.OutSize()*n
	err = errors.Join(err, checkInts("lp_pool_backward", n), check("lp_pool_backward", need{"x", x.n, in},
		need{"y", y.n, out}, need{"dy", dy.n, out}, need{"dx", dx.n, in}))
	if err != nil {
		return err
	}
	return launch[T](s, "lp_pool_backward", over(in), planes, word(n), v, p, x, y, dy, dx)
}
