package verify

import (
	"fmt"
	"math"

	"efcn/onnxio"
)

// sparse compares a matrix stored as its non-zeros, and reports whether it could be
// read: every entry of the support is there, once and in order, and nothing else
// is. Nothing is held but one row's support.
func (s *structure) sparse(node *onnxio.Node, t *onnxio.SparseTensor, m *matrix, row *Layer) bool {
	name := node.Input(1)
	if err := sparseFits(t, m); err != nil {
		s.fault("node", node, row.Output, "its sparse matrix %q: %v", name, err)
		return false
	}
	if s.others {
		return true
	}
	c := &sparseChecker{matrix: m, last: -1, row: -1}
	err := c.check(t)
	s.compared += c.count
	row.NonZeros, row.Wrong = c.support, c.wrong
	for _, f := range []struct {
		kind string
		*sparseFault
	}{{"index", c.order}, {"entry", c.missing}, {"entry", c.surplus}, {"entry", c.differs}} {
		if f.sparseFault != nil {
			s.fault(f.kind, node, row.Output, "%s (%q); %d entries are wrong", f.text, name, c.wrong)
		}
	}
	if err != nil && c.order == nil {
		s.fault("node", node, row.Output, "its sparse matrix %q cannot be read: %v", name, err)
	}
	return err == nil
}

// sparseFits checks the shapes and types of a sparse matrix: float32 values and
// as many linear indices.
func sparseFits(t *onnxio.SparseTensor, m *matrix) error {
	v, i := t.Values, t.Indices
	switch {
	case v == nil || i == nil || v.Data == nil || i.Data == nil:
		return fmt.Errorf("values or indices are missing")
	case len(t.Dims) != 2 || t.Dims[0] != int64(m.rows) || t.Dims[1] != int64(m.cols):
		return fmt.Errorf("it is %v; want [%d %d]", t.Dims, m.rows, m.cols)
	case v.Type != onnxio.Float32 || len(v.Dims) != 1 || v.Data.Len() != 4*v.Dims[0]:
		return fmt.Errorf("its values are %s %v; want a float32 vector", v.Type, v.Dims)
	case i.Type != onnxio.Int64 || len(i.Dims) != 1 || i.Dims[0] != v.Dims[0] || i.Data.Len() != 8*i.Dims[0]:
		return fmt.Errorf("its indices are %s %v; want int64 [%d], linear indices", i.Type, i.Dims, v.Dims[0])
	default:
		return nil
	}
}

type sparseFault struct{ text string }

// sparseChecker compares stored entries, as they come, with what has to be there.
type sparseChecker struct {
	*matrix

	row     int // whose support is in want; −1 before the first
	want    []stored
	next    int   // of want
	last    int64 // index
	count   int64 // indices read
	support int64 // entries asked for so far

	wrong                            int64
	order, missing, surplus, differs *sparseFault // the first of each
}

// stored is a number in a column.
type stored struct {
	col      int
	v, slack float64
}

func (e stored) bits() uint32 { return math.Float32bits(float32(e.v)) }

// check streams the stored entries.
func (c *sparseChecker) check(t *onnxio.SparseTensor) error {
	if err := eachStored(t, c.element); err != nil {
		return err
	}
	c.finishRows(c.rows)
	return nil
}

// eachStored streams the linear indices and float32 values of a sparse tensor
// side by side.
func eachStored(t *onnxio.SparseTensor, do func(index int64, value float32) error) error {
	for block, err := range onnxio.SparseBlocks[float32](t, 1<<12) {
		if err != nil {
			return err
		}
		for i, index := range block.Indices {
			if err := do(index, block.Values[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// element compares one stored entry. An index that is out of order or out of
// range ends the comparison: what comes after it cannot be attributed.
func (c *sparseChecker) element(at int64, value float32) error {
	got := math.Float32bits(value)
	if size := int64(c.rows) * int64(c.cols); at <= c.last || at >= size {
		c.wrong++
		text := fmt.Sprintf("index %d of the sparse matrix is %d, after %d; they have to ascend from 0 to %d", c.count,
			at, c.last, size-1)
		c.order = &sparseFault{text}
		return fmt.Errorf("%s", text)
	}
	c.last = at
	c.count++
	c.finishRows(int(at / int64(c.cols)))
	col := int(at % int64(c.cols))
	for c.next < len(c.want) && c.want[c.next].col < col {
		c.miss()
	}
	switch {
	case c.next == len(c.want) || c.want[c.next].col > col:
		if c.fuzzy(got) {
			return nil
		}
		c.wrong++
		if c.surplus == nil {
			c.surplus = &sparseFault{fmt.Sprintf(
				"entry of %s (row %d, column %d) is outside the support: want nothing, got %s", c.place(c.row, col),
				c.row, col, hex(got))}
		}
	default:
		want := c.want[c.next]
		c.next++
		if !accepts(value, want.v, want.slack) {
			c.wrong++
			if c.differs == nil {
				c.differs = &sparseFault{fmt.Sprintf("entry of %s (row %d, column %d): want %s, got %s",
					c.place(c.row, col), c.row, col, hex(want.bits()), hex(got))}
			}
		}
	}
	return nil
}

// miss notes that the next entry of the support is not stored.
func (c *sparseChecker) miss() {
	e := c.want[c.next]
	c.next++
	if c.fuzzy(e.bits()) {
		return
	}
	c.wrong++
	if c.missing == nil {
		c.missing = &sparseFault{fmt.Sprintf("entry of %s (row %d, column %d) is missing: want %s",
			c.place(c.row, e.col), c.row, e.col, hex(e.bits()))}
	}
}

// finishRows moves on to a row; what is left of those before is missing.
func (c *sparseChecker) finishRows(row int) {
	for c.row < row {
		for c.next < len(c.want) {
			c.miss()
		}
		c.row++
		c.want, c.next = c.want[:0], 0
		if c.row == c.rows {
			return
		}
		c.entries(c.row, func(col int, v, slack float64) { c.want = append(c.want, stored{col, v, slack}) })
		c.support += int64(len(c.want))
	}
}
