package verify

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"sync"
	"sync/atomic"

	"efcn/internal/kernel"
	"efcn/onnxio"
)

// difference is an element of a constant that is not what it has to be.
type difference struct {
	row, col  int
	want, got uint32
}

// rowChecker compares the rows of a float32 matrix with what they have to be, several at a
// time. A row is made and compared by its entries, unless it is one that was found right
// before, moved (repeats): of each class of positions the last right row is kept.
type rowChecker struct {
	*matrix
	repeats *repeats   // nil where none are known
	right   []rightRow // by class
	done    atomic.Int64
	nonzero atomic.Int64

	making sync.Mutex // guards what follows, and matrix.entries
	want   []byte
	slack  map[int][2]float64 // of columns whose entry may be off: value and by how much
	wrong  int64
	first  difference
}

// rightRow is a row that was compared by its entries and is right.
type rightRow struct {
	kept bool
	sync.RWMutex
	row     int // its number
	nonzero int64
	bytes   []byte // empty before the first
}

func newRowChecker(m *matrix) *rowChecker {
	c := &rowChecker{matrix: m, want: make([]byte, 4*m.cols), slack: make(map[int][2]float64)}
	if m.windows != nil && m.fuzz == 0 {
		c.repeats = m.windows.repeats()
		c.right = make([]rightRow, c.repeats.classes)
		for k, keep := range c.repeats.keeps(4 * m.cols) {
			c.right[k].kept = keep
		}
	}
	return c
}

// take compares row r, little-endian.
func (c *rowChecker) take(r int, row []byte) {
	c.done.Add(1)
	if c.repeated(r, row) {
		return
	}
	c.making.Lock()
	defer c.making.Unlock()
	nonzero := c.make(r)
	c.nonzero.Add(nonzero)
	if bytes.Equal(row, c.want) {
		c.keep(r, row, nonzero)
		return
	}
	for i := range c.cols {
		want, got := binary.LittleEndian.Uint32(c.want[4*i:]), binary.LittleEndian.Uint32(row[4*i:])
		if got == want || c.allowed(i, want, got) {
			continue
		}
		if c.wrong == 0 || r < c.first.row {
			c.first = difference{row: r, col: i, want: want, got: got}
		}
		c.wrong++
	}
}

// make makes row r what it has to be, and returns how many entries its support has.
func (c *rowChecker) make(r int) (entries int64) {
	clear(c.want)
	clear(c.slack)
	if c.windows != nil {
		entries, _ = c.windows.write(c.want, r, nil, 0)
		return entries
	}
	c.entries(r, func(i int, v, slack float64) {
		binary.LittleEndian.PutUint32(c.want[4*i:], math.Float32bits(float32(v)))
		if slack != 0 {
			c.slack[i] = [2]float64{v, slack}
		}
		entries++
	})
	return entries
}

// repeated reports whether row r is a right one, moved.
func (c *rowChecker) repeated(r int, row []byte) bool {
	right, p := c.rightOf(r)
	if right == nil {
		return false
	}
	right.RLock()
	defer right.RUnlock()
	positions := len(c.repeats.class)
	if len(right.bytes) == 0 || right.row/positions != r/positions ||
		!moved(row, right.bytes, 4*(c.repeats.base[p]-c.repeats.base[right.row%positions])) {
		return false
	}
	c.nonzero.Add(right.nonzero)
	return true
}

// keep keeps row r, which is right.
func (c *rowChecker) keep(r int, row []byte, nonzero int64) {
	if right, _ := c.rightOf(r); right != nil {
		right.Lock()
		right.row, right.nonzero, right.bytes = r, nonzero, append(right.bytes[:0], row...)
		right.Unlock()
	}
}

// rightOf returns where the right row of the class of row r is kept, nil for nowhere, and the
// position of r.
func (c *rowChecker) rightOf(r int) (right *rightRow, position int) {
	if c.repeats == nil {
		return nil, 0
	}
	p := r % len(c.repeats.class)
	if right = &c.right[c.repeats.class[p]]; !right.kept {
		return nil, p
	}
	return right, p
}

// allowed reports whether an entry of the row that is not what it has to be is
// within what that may be off.
func (c *rowChecker) allowed(col int, want, got uint32) bool {
	if e, ok := c.slack[col]; ok {
		return accepts(math.Float32frombits(got), e[0], e[1])
	}
	return want == 0 && c.fuzzy(got)
}

// check compares a float32 constant.
func (c *rowChecker) check(t *onnxio.Tensor) error {
	size := 4 * c.cols
	if c.rows == 0 || size == 0 {
		return nil
	}
	if rows := t.Data.Len() / int64(size); rows < int64(c.rows) {
		return fmt.Errorf("%d of %d rows are there", rows, c.rows)
	}
	if t.Data.Len() != int64(c.rows)*int64(size) {
		return fmt.Errorf("the elements are not those of %d×%d", c.rows, c.cols)
	}
	return onnxio.Parts(t.Data, size, kernel.Threads(), func(at int64, rows []byte) error {
		for r := int(at / int64(size)); len(rows) > 0; r, rows = r+1, rows[size:] {
			c.take(r, rows[:size])
		}
		return nil
	})
}
