package verify

import (
	"encoding/binary"
	"fmt"
	"math"

	"efcn/onnxio"
)

// difference is an element of a constant that is not what it has to be.
type difference struct {
	row, col  int
	want, got uint32
}

// rowChecker is a Writer of a row-major little-endian float32 matrix that
// compares what is written with what has to be there, and holds one row.
type rowChecker struct {
	*matrix

	want    []uint32
	slack   map[int][2]float64 // of columns whose entry may be off: value and by how much
	partial []byte             // of an element
	row     int
	col     int
	nonzero int64
	wrong   int64
	first   difference
}

func newRowChecker(m *matrix) *rowChecker {
	return &rowChecker{matrix: m, want: make([]uint32, m.cols), slack: make(map[int][2]float64)}
}

func (c *rowChecker) Write(p []byte) (int, error) {
	written := len(p)
	if len(c.partial) > 0 {
		take := min(4-len(c.partial), len(p))
		c.partial = append(c.partial, p[:take]...)
		p = p[take:]
		if len(c.partial) < 4 {
			return written, nil
		}
		whole := c.partial
		c.partial = nil
		if err := c.take(whole); err != nil {
			return 0, err
		}
	}
	whole := len(p) / 4 * 4
	if err := c.take(p[:whole]); err != nil {
		return 0, err
	}
	c.partial = append(c.partial, p[whole:]...)
	return written, nil
}

func (c *rowChecker) take(p []byte) error {
	for len(p) > 0 {
		if c.row >= c.rows {
			return fmt.Errorf("more elements than %d×%d", c.rows, c.cols)
		}
		if c.col == 0 {
			clear(c.want)
			clear(c.slack)
			c.entries(c.row, func(i int, v, slack float64) {
				c.want[i] = math.Float32bits(float32(v))
				if slack != 0 {
					c.slack[i] = [2]float64{v, slack}
				}
				c.nonzero++
			})
		}
		n := min(c.cols-c.col, len(p)/4)
		for i, want := range c.want[c.col : c.col+n] {
			if got := binary.LittleEndian.Uint32(p[4*i:]); got != want && !c.allowed(c.col+i, got) {
				if c.wrong == 0 {
					c.first = difference{row: c.row, col: c.col + i, want: want, got: got}
				}
				c.wrong++
			}
		}
		p = p[4*n:]
		if c.col += n; c.col == c.cols {
			c.row, c.col = c.row+1, 0
		}
	}
	return nil
}

// allowed reports whether an entry of the row that is not what it has to be is
// within what that may be off.
func (c *rowChecker) allowed(col int, got uint32) bool {
	if e, ok := c.slack[col]; ok {
		return accepts(math.Float32frombits(got), e[0], e[1])
	}
	return c.want[col] == 0 && c.fuzzy(got)
}

// check streams a float32 constant through the checker.
func (c *rowChecker) check(t *onnxio.Tensor) error {
	if c.rows == 0 || c.cols == 0 {
		return nil
	}
	if _, err := t.Data.WriteTo(c); err != nil {
		return err
	}
	if c.row != c.rows || len(c.partial) > 0 {
		return fmt.Errorf("%d of %d rows are there", c.row, c.rows)
	}
	return nil
}
