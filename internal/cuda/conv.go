package cuda

import (
	"errors"
	"fmt"

	"efcn/internal/kernel"
)

// Conv computes a [kernel.Conv] of n samples with the batch last: x is InChannels×In×n, w
// OutChannels×(InChannels/Groups)×Kernel, y OutChannels×Out×n. Each group is one product,
// on columns of what output positions read; Room holds them, as many positions at a
// time as it has elements for, and at least one ([ConvRoom]).
type Conv[T kernel.Float] struct {
	kernel.Conv[T]
	N    int
	Room Buffer[T]
}

// ConvRoom is how many elements the columns of a convolution of n samples have: those of
// all output positions, and those of one, which is the least that works.
func ConvRoom[T kernel.Float](c kernel.Conv[T], n int) (most, least int) {
	least = c.InChannels * c.Taps() * n
	return least * c.OutSize(), least
}

// stretches calls body for the output positions, as many at a time as there is room for
// their columns.
func (c *Conv[T]) stretches(body func(p0, p1 int) error) error {
	most, least := ConvRoom(c.Conv, c.N)
	if most == 0 {
		return nil
	}
	step := c.Room.n / least
	if step == 0 {
		return fmt.Errorf("conv: room has %d elements; want at least %d", c.Room.n, least)
	}
	for p := 0; p < c.OutSize(); p += step {
		if err := body(p, min(p+step, c.OutSize())); err != nil {
			return err
		}
	}
	return nil
}

func (c *Conv[T]) check(call string, x, w, y Buffer[T]) (window, error) {
	if err := c.Validate(); err != nil {
		return window{}, err
	}
	v, err := toWindow(call, c.Window)
	return v, errors.Join(err, checkInts(call, c.N, c.InChannels, c.OutChannels), check(
		call, need{"x", x.n, c.InChannels * c.InSize() * c.N}, need{"y", y.n, c.OutChannels * c.OutSize() * c.N},
		need{"w", w.n, c.OutChannels * c.rows()},
	))
}

// rows is how many rows the columns of a group have.
func (c *Conv[T]) rows() int { return c.InChannels / c.Groups * c.Taps() }

// product is what the three functions have in common, of the output positions from p0 to
// p1: the strides from group to group, and the rows of y or dy.
func (c *Conv[T]) product(p0, p1 int) (width, ldy, strideW, strideCol, strideY int) {
	width, ldy = (p1-p0)*c.N, c.OutSize()*c.N
	return width, ldy, c.OutChannels / c.Groups * c.rows(), c.rows() * width, c.OutChannels / c.Groups * ldy
}

func (c *Conv[T]) gather(s *Stream, v window, p0, p1 int, x Buffer[T]) error {
	elements := c.InChannels * c.Taps() * (p1 - p0) * c.N
	return launch[T](s, "im2col", over(elements), c.InChannels, word(c.N), v, word(p0), word(p1), x, c.Room)
}

// Forward computes y; an empty bias, of OutChannels elements otherwise, adds nothing.
func (c *Conv[T]) Forward(s *Stream, x, w, bias, y Buffer[T]) error {
	v, err := c.check("conv forward", x, w, y)
	if err != nil {
		return err
	}
	beta := T(0)
	if bias.n > 0 {
		if err := errors.Join(check("conv forward", need{"bias", bias.n, c.OutChannels}),
			Spread(s, c.OutSize()*c.N, bias.Part(0, c.OutChannels), y)); err != nil {
			return err
		}
		beta = 1
	}
	return c.stretches(func(p0, p1 int) error {
		if err := c.gather(s, v, p0, p1, x); err != nil {
			return err
		}
		width, ldy, strideW, strideCol, strideY := c.product(p0, p1)
		return Gemm(s, Product[T]{
			M: c.OutChannels / c.Groups, N: width, K: c.rows(), Alpha: 1, Beta: beta, A: w, B: c.Room,
			C: y.Part(p0*c.N, y.n), LDC: ldy, Count: c.Groups, StrideA: strideW, StrideB: strideCol, StrideC: strideY,
		})
	})
}

// BackwardInput computes dx from dy.
func (c *Conv[T]) BackwardInput(s *Stream, dy, w, dx Buffer[T]) error {
	v, err := c.check("conv input", dx, w, dy)
	if err != nil {
		return err
	}
	if err := Clear(s, dx.Part(0, c.InChannels*c.InSize()*c.N)); err != nil {
		return err
	}
	return c.addInput(s, v, dy, w, dx)
}

// Transposed computes y, the transposed convolution of x, whose gradients are those of the
// embedded convolution with the parts exchanged: x is OutChannels×Out×n, and y
// InChannels×In×n. An empty bias, of InChannels elements otherwise, adds nothing.
func (c *Conv[T]) Transposed(s *Stream, x, w, bias, y Buffer[T]) error {
	if bias.n == 0 {
		return c.BackwardInput(s, x, w, y)
	}
	v, err := c.check("transposed conv", y, w, x)
	if err = errors.Join(err, check("transposed conv", need{"bias", bias.n, c.InChannels})); err != nil {
		return err
	}
	if err := Spread(s, c.InSize()*c.N, bias.Part(0, c.InChannels), y); err != nil {
		return err
	}
	return c.addInput(s, v, x, w, y)
}

// addInput adds the gradient at the input to dx.
func (c *Conv[T]) addInput(s *Stream, v window, dy, w, dx Buffer[T]) error {
	elements := c.InChannels * c.InSize() * c.N
	return c.stretches(func(p0, p1 int) error {
		width, ldy, strideW, strideCol, strideY := c.product(p0, p1)
		err := Gemm(s, Product[T]{
			TransA: true, M: c.rows(), N: width, K: c.OutChannels / c.Groups, Alpha: 1, A: w,
			B: dy.Part(p0*c.N, dy.n), LDB: ldy, C: c.Room, Count: c.Groups, StrideA: strideW, StrideB: strideY,
			StrideC: strideCol,
		})
		if err != nil {
			return err
		}
		return launch[T](s, "col2im", over(elements), c.InChannels, word(c.N), v, word(p0), word(p1), c.Room, dx)
	})
}

// BackwardWeights computes dw = alpha·(gradient at the kernel) + beta·dw. The gradient at
// the bias is [SumRows] of dy.
func (c *Conv[T]) BackwardWeights(s *Stream, alpha, beta T, x, dy, dw Buffer[T]) error {
	v, err := c.check("conv weights", x, dw, dy)
	if err != nil {
		return err
	}
	return c.stretches(func(p0, p1 int) error {
		if err := c.gather(s, v, p0, p1, x); err != nil {
			return err
		}
		if p0 > 0 {
			beta = 1
		}
		width, ldy, strideW, strideCol, strideY := c.product(p0, p1)
		return Gemm(s, Product[T]{
			TransB: true, M: c.OutChannels / c.Groups, N: c.rows(), K: width, Alpha: alpha, Beta: beta,
			A: dy.Part(p0*c.N, dy.n), LDA: ldy, B: c.Room, C: dw, Count: c.Groups, StrideA: strideY, StrideB: strideCol,
			StrideC: strideW,
		})
	})
}
