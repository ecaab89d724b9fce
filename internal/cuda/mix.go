package cuda

import "efcn/internal/kernel"

// Mix multiplies each line of x, outer×Cols×inner, along the axis in the middle with a
// sparse matrix, whose stored entries are v; y is outer×Rows×inner. The batch of c plays
// no part.
func Mix[T kernel.Float](s *Stream, c *CSR, outer, inner int, v, x, y Buffer[T]) error {
	err := check("mix", need{"v", v.n, c.entries}, need{"x", x.n, outer * c.cols * inner},
		need{"y", y.n, outer * c.rows * inner})
	if err != nil {
		return err
	}
	return launch[T](s, "mix", over(outer*c.rows*inner), outer, c.cols, c.rows, inner, c.starts, Buffer[int32]{},
		c.columns, v, x, y)
}

// MixBackward computes dx from dy.
func MixBackward[T kernel.Float](s *Stream, c *CSR, outer, inner int, v, dy, dx Buffer[T]) error {
	err := check("mix backward", need{"v", v.n, c.entries}, need{"dy", dy.n, outer * c.rows * inner},
		need{"dx", dx.n, outer * c.cols * inner})
	if err != nil {
		return err
	}
	return launch[T](s, "mix", over(outer*c.cols*inner), outer, c.rows, c.cols, inner, c.ofColumn.starts, c.ofColumn.at,
		c.rowOf, v, dy, dx)
}
