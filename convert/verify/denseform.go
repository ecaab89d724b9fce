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

// rowChecker compares the rows of a float32 matrix with what they have to be, and
// holds one row.
type rowChecker struct {
	*matrix

	want    []uint32
	slack   map[int][2]float64 // of columns whose entry may be off: value and by how much
	row     int                // that comes next
	nonzero int64
	wrong   int64
	first   difference
}

func newRowChecker(m *matrix) *rowChecker {
	return &rowChecker{matrix: m, want: make([]uint32, m.cols), slack: make(map[int][2]float64)}
}

// take compares the next row, little-endian.
func (c *rowChecker) take(row []byte) {
	clear(c.want)
	clear(c.slack)
	c.entries(c.row, func(i int, v, slack float64) {
		c.want[i] = math.Float32bits(float32(v))
		if slack != 0 {
			c.slack[i] = [2]float64{v, slack}
		}
		c.nonzero++
	})
	for i, want := range c.want {
		if got := binary.LittleEndian.Uint32(row[4*i:]); got != want && !c.allowed(i, got) {
			if c.wrong == 0 {
				c.first = difference{row: c.row, col: i, want: want, got: got}
			}
			c.wrong++
		}
	}
	c.row++
}

// allowed reports whether an entry of the row that is not what it has to be is
// within what that may be off.
func (c *rowChecker) allowed(col int, got uint32) bool {
	if e, ok := c.slack[col]; ok {
		return accepts(math.Float32frombits(got), e[0], e[1])
	}
	return c.want[col] == 0 && c.fuzzy(got)
}

// check compares a float32 constant.
func (c *rowChecker) check(t *onnxio.Tensor) error {
	if c.rows == 0 || c.cols == 0 {
		return nil
	}
	for row, err := range onnxio.Blocks(t.Data, 4*c.cols) {
		switch {
		case err != nil:
			return err
		case c.row == c.rows || len(row) < 4*c.cols:
			return fmt.Errorf("the elements are not those of %d×%d", c.rows, c.cols)
		}
		c.take(row)
	}
	if c.row != c.rows {
		return fmt.Errorf("%d of %d rows are there", c.row, c.rows)
	}
	return nil
}
