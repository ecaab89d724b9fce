package cuda

import (
	"efcn/internal/kernel"
)

// Clip computes dst = min(max(src, lo), hi), as [kernel.Clip] does; dst may be src.
func Clip[T kernel.Float](s *Stream, dst, src Buffer[T], lo, hi T) error {
	if err := check("clip", need{"dst", dst.n, src.n}); err != nil {
		return err
	}
	return launch[T](s, "clip", over(src.n), src.n, lo, hi, src, dst)
}

// Gate computes dst = grad where out is above 0, or NaN, and 0 elsewhere: the gradient at
// the input of a ReLU whose output is out. dst may be grad.
func Gate[T kernel.Float](s *Stream, dst, out, grad Buffer[T]) error {
	if err := check("gate", need{"dst", dst.n, grad.n}, need{"out", out.n, grad.n}); err != nil {
		return err
	}
	return launch[T](s, "gate", over(grad.n), grad.n, out, grad, dst)
}

// Add computes dst = a + b; dst may be either.
func Add[T kernel.Float](s *Stream, dst, a, b Buffer[T]) error {
	if err := check("add", need{"dst", dst.n, a.n}, need{"b", b.n, a.n}); err != nil {
		return err
	}
	return launch[T](s, "add", over(a.n), a.n, a, b, dst)
}

// Scale multiplies x by factor.
func Scale[T kernel.Float](s *Stream, x Buffer[T], factor T) error {
	return launch[T](s, "scale", over(x.n), x.n, factor, x)
}

// Spread writes each element of v over a row of n elements of dst: a bias, before a
// product is added to it.
func Spread[T kernel.Float](s *Stream, n int, v, dst Buffer[T]) error {
	if err := check("spread", need{"dst", dst.n, v.n * n}); err != nil {
		return err
	}
	return launch[T](s, "spread", over(v.n*n), v.n, n, v, dst)
}

// SumRows computes factor times the sum of each row of n elements of x: the gradient at a
// bias.
func SumRows[T kernel.Float](s *Stream, n int, factor T, x, sums Buffer[T]) error {
	if err := check("sum_rows", need{"x", x.n, sums.n * n}); err != nil {
		return err
	}
	return launch[T](s, "sum_rows", blocks{sums.n, 1}, n, factor, x, sums)
}

// Transpose writes dst, cols×rows, from src, rows×cols: samples as they arrive.
func Transpose[T kernel.Float](s *Stream, rows, cols int, src, dst Buffer[T]) error {
	if err := check("transpose", need{"src", src.n, rows * cols}, need{"dst", dst.n, rows * cols}); err != nil {
		return err
	}
	const tile = 32
	grid := blocks{(rows + tile - 1) / tile * ((cols + tile - 1) / tile), 1}
	return launch[T](s, "transpose", grid, rows, cols, src, dst)
}

// Part of a tensor by a mask, a bit for each element.
type Part int

// Parts.
const (
	Outside Part = iota // elements whose bit is 0
	Inside              // elements whose bit is 1
)

// squareParts is how many sums [SumSquares] adds up in the end.
const squareParts = 1024

// SquaresRoom is how many elements SumSquares needs as room.
const SquaresRoom = squareParts

// SumSquares computes the sum of the squares of x in float64, adds keep times what to
// held, and writes it to to. Of x only one part counts where there is a mask; an empty
// mask counts all. The order of the sum follows from the length of x.
func SumSquares[T kernel.Float](
	s *Stream, x Buffer[T], mask Buffer[uint32], part Part, keep float64, room, to Buffer[float64],
) error {
	err := check("sum_squares", maskNeed(mask, x.n), need{"room", room.n, SquaresRoom}, need{"to", to.n, 1})
	if err != nil {
		return err
	}
	n := min(squareParts, over(x.n).x)
	if err := launch[T](s, "sum_squares", blocks{n, 1}, x.n, mask, word(part), x, room); err != nil {
		return err
	}
	return launch[T](s, "sum_parts", blocks{1, 1}, n, keep, room, to)
}

// maskNeed is what a mask of n elements needs, nothing where there is none.
func maskNeed(mask Buffer[uint32], n int) need {
	if mask.n == 0 {
		n = 0
	}
	return need{"mask", mask.n, (n + 31) / 32}
}
