package cut

import (
	"encoding/binary"
	"fmt"
	"io"
	"slices"

	"efcn/onnxio"
)

// sparseMatrix is a sparse constant whose entries ascend, row by row.
type sparseMatrix struct {
	*onnxio.SparseTensor
	starts []int // of the rows among the entries, and how many entries there are
	// first and last are the columns of the first and last entry of each row; last is -1
	// where it has none.
	first, last []int
}

// findSparse finds the sparse constants that can be cut by rows. What it does not find
// stays whole.
func (p *planner) findSparse() {
	p.sparse = map[string]*sparseMatrix{}
	for name, s := range p.whole.Graph.SparseConstants() {
		if m := readSparse(s); m != nil {
			p.sparse[name] = m
		}
	}
}

// readSparse reads which entries are where, nil if they are not as the matrix needs them.
func readSparse(s *onnxio.SparseTensor) *sparseMatrix {
	if s.Values == nil || s.Indices == nil || s.Values.Data == nil || s.Indices.Data == nil || len(s.Dims) != 2 ||
		len(s.Values.Dims) != 1 || !s.Values.Type.IsFloat() {
		return nil
	}
	rows, cols, width := int(s.Dims[0]), int(s.Dims[1]), len(s.Indices.Dims)
	if rows < 1 || cols < 1 || width == 2 && s.Indices.Dims[1] != 2 {
		return nil
	}
	m := &sparseMatrix{s, make([]int, rows+1), make([]int, rows), slices.Repeat([]int{-1}, rows)}
	at, before := 0, -1
	for block, err := range onnxio.IntBlocks(s.Indices, sparseBlock*width) {
		if err != nil {
			return nil
		}
		for ; len(block) >= width; block = block[width:] {
			i := int(block[0])
			if width == 2 {
				if i >= rows || block[1] < 0 || int(block[1]) >= cols {
					return nil
				}
				i = i*cols + int(block[1])
			}
			if i <= before || i/cols >= rows {
				return nil
			}
			r, c := i/cols, i%cols
			if m.last[r] < 0 {
				m.first[r] = c
			}
			m.last[r], before = c, i
			m.starts[r+1]++
			at++
		}
	}
	for r := range rows {
		m.starts[r+1] += m.starts[r]
	}
	if int64(at) != s.Values.Dims[0] {
		return nil
	}
	return m
}

// sparseBlock is how many indices are read at a time.
const sparseBlock = 1 << 13

// slice is that of the entries, where a rank has the rows between its bounds.
func (m *sparseMatrix) slice(rows []int, rank int) Slice {
	bounds := make([]int, len(rows))
	for r, b := range rows {
		bounds[r] = m.starts[b]
	}
	return alongDim(m.Values.Dims, 0, bounds, rank)
}

// outside returns why the matrix cannot be cut at groups, which have so many rows and
// columns each: an entry lies outside of them. "" if none does.
func (m *sparseMatrix) outside(rows, cols int) string {
	for r, last := range m.last {
		if lo := r / rows * cols; last >= 0 && (m.first[r] < lo || last >= lo+cols) {
			return fmt.Sprintf("row %d has an entry outside its group", r)
		}
	}
	return ""
}

// lacksEntries returns why the matrix cannot be cut at rows: a rank would have none of its
// entries, and nothing to train. "" if each has some.
func (m *sparseMatrix) lacksEntries(rows []int) string {
	for rank := range len(rows) - 1 {
		if m.starts[rows[rank]] == m.starts[rows[rank+1]] {
			return fmt.Sprintf("rows %d to %d, those of rank %d, have no entries", rows[rank], rows[rank+1]-1, rank)
		}
	}
	return ""
}

// part is some rows and columns of the matrix; s is the slice of its entries, all of
// which are in these columns.
func (m *sparseMatrix) part(s Slice, rows, cols [2]int) *onnxio.SparseTensor {
	t := *m.SparseTensor
	t.Values = s.Tensor(m.Values)
	t.Dims = []int64{int64(rows[1] - rows[0]), int64(cols[1] - cols[0])}
	width := len(m.Indices.Dims)
	indices := s
	indices.Inner = width
	whole := indices.Tensor(m.Indices)
	whole.Type, whole.Data = onnxio.Int64, onnxio.Generate(8*int64(indices.Len()), func(w io.Writer) error {
		return m.writeIndices(w, indices.Tensor(m.Indices), rows[0], cols)
	})
	t.Indices = whole
	return &t
}

// writeIndices writes indices, those of some entries of the matrix, as they are counted
// from a row and a column on.
func (m *sparseMatrix) writeIndices(w io.Writer, of *onnxio.Tensor, row int, cols [2]int) error {
	width, wide := len(of.Dims), m.Dims[1]
	buf := make([]byte, 0, 8*sparseBlock*width)
	for block, err := range onnxio.IntBlocks(of, sparseBlock*width) {
		if err != nil {
			return err
		}
		buf = buf[:0]
		for i, v := range block {
			switch {
			case width == 1:
				v = (v/wide-int64(row))*int64(cols[1]-cols[0]) + v%wide - int64(cols[0])
			case i%2 == 0:
				v -= int64(row)
			default:
				v -= int64(cols[0])
			}
			buf = binary.LittleEndian.AppendUint64(buf, uint64(v))
		}
		if _, err := w.Write(buf); err != nil {
			return err
		}
	}
	return nil
}
