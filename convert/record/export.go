package record

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"

	"efcn/convert/affine"
	"efcn/onnxio"
)

// CSR is a matrix in compressed sparse rows, as scipy.sparse has it: row r
// holds the columns Indices[Indptr[r]:Indptr[r+1]], ascending, and their
// entries in Data at the same places. Indices and Indptr are int32 where that
// is enough, else int64; Indices and Data are generated when they are written.
type CSR struct {
	Rows, Cols            int64
	Indptr, Indices, Data *onnxio.Tensor
}

// entries calls visit with every row of the matrix in their order: its non-zero
// entries or, with mask, those in the support (geometry: a zero in it counts),
// each of which is 1. Columns ascend. A layer that was fully connected in the
// CNN has all of its matrix for a support.
func (a *Matrix) entries(ctx context.Context, mask bool, visit func(r int, cols []int32, v []float32) error) error {
	if mask {
		return a.supportRows(ctx, visit)
	}
	var cols []int32
	var v []float32
	return a.EachOrdered(ctx, func(r int, row []float32, stored []int32) error {
		cols, v = cols[:0], v[:0]
		add := func(c int32) {
			if row[c] != 0 {
				cols, v = append(cols, c), append(v, row[c])
			}
		}
		if stored == nil {
			for c := range row {
				add(int32(c))
			}
		}
		for _, c := range stored {
			add(c)
		}
		return visit(r, cols, v)
	})
}

func (a *Matrix) supportRows(ctx context.Context, visit func(r int, cols []int32, v []float32) error) error {
	m := a.support
	if m == nil {
		if !a.Layer.Connected() {
			return fmt.Errorf("layer %q: no support to export, which only geometry gives: %s", a.Layer.Node, a.free)
		}
		m = affine.FullyConnected(a.Cols, a.Rows)
	}
	var (
		cols []int32
		ones []float32
		taps []affine.Tap
	)
	for r := range a.Rows {
		if err := ctx.Err(); err != nil {
			return err
		}
		taps = m.Taps.At(r%m.Taps.Out, taps)
		first, channels := m.Channels(r)
		cols = cols[:0]
		for c := range channels {
			for _, t := range taps {
				cols = append(cols, int32((first+c)*m.Taps.In)+t.In)
			}
		}
		for len(ones) < len(cols) {
			ones = append(ones, 1)
		}
		if err := visit(r, cols, ones[:len(cols)]); err != nil {
			return err
		}
	}
	return nil
}

// EachOrdered is Each with the rows in their order and the columns that are stored
// ascending. The rows of a layer in local form come in another order: its
// weights are read into memory first, and a factored layer's factors are added after.
func (a *Matrix) EachOrdered(ctx context.Context, visit RowVisitor) error {
	return a.orderedRows(ctx, 0, a.Rows, visit)
}

// errEnough ends a reading whose rest nobody asked for.
var errEnough = errors.New("the rows are read")

// orderedRows is EachOrdered of rows from to until. What is held are those of a layer in
// local form.
func (a *Matrix) orderedRows(ctx context.Context, from, until int, visit RowVisitor) error {
	if a.sparse != nil || !a.Layer.Layout.LocalForm() {
		err := a.Each(ctx, func(r int, row []float32, stored []int32) error {
			switch {
			case r < from:
				return nil
			case r >= until:
				return errEnough
			}
			return visit(r, row, stored)
		})
		if errors.Is(err, errEnough) {
			return nil
		}
		return err
	}
	if a.factors != nil {
		f, err := a.factors.load()
		if err != nil {
			return fmt.Errorf("layer %q: %w", a.Layer.Node, err)
		}
		visit = f.added(visit)
	}
	type entry struct {
		col int32
		v   float32
	}
	rows := make([][]entry, until-from)
	err := a.EachStored(ctx, func(r int, row []float32, stored []int32) error {
		if r < from || r >= until {
			return nil
		}
		entries := make([]entry, len(stored))
		for i, c := range stored {
			entries[i] = entry{c, row[c]}
		}
		rows[r-from] = entries
		return nil
	})
	if err != nil {
		return err
	}
	row, stored := make([]float32, a.Cols), []int32{}
	for i, entries := range rows {
		stored = stored[:0]
		for _, e := range entries {
			row[e.col] = e.v
			stored = append(stored, e.col)
		}
		if err := visit(from+i, row, stored); err != nil {
			return err
		}
		for _, c := range stored {
			row[c] = 0
		}
	}
	return nil
}

// CSR returns the matrix or, with mask, its support in compressed rows. The
// layer is read once to count, and again when Indices and Data are written.
func (a *Matrix) CSR(ctx context.Context, mask bool) (*CSR, error) {
	indptr := make([]int64, 1, a.Rows+1)
	err := a.entries(ctx, mask, func(_ int, cols []int32, _ []float32) error {
		indptr = append(indptr, indptr[len(indptr)-1]+int64(len(cols)))
		return nil
	})
	if err != nil {
		return nil, err
	}
	for len(indptr) <= a.Rows { // a matrix without columns has no rows to visit
		indptr = append(indptr, indptr[len(indptr)-1])
	}
	n := indptr[len(indptr)-1]
	c := &CSR{Rows: int64(a.Rows), Cols: int64(a.Cols)}
	index, put := onnxio.Int32, func(b []byte, v int64) []byte { return binary.LittleEndian.AppendUint32(b, uint32(v)) }
	if n > math.MaxInt32 {
		index = onnxio.Int64
		put = func(b []byte, v int64) []byte { return binary.LittleEndian.AppendUint64(b, uint64(v)) }
	}
	generated := func(name string, t onnxio.DataType, n int64, write func(w io.Writer) error) *onnxio.Tensor {
		return &onnxio.Tensor{Name: name, Type: t, Dims: []int64{n}, Data: onnxio.Generate(n*t.Size(), write)}
	}
	c.Indptr = generated("indptr", index, int64(len(indptr)), func(w io.Writer) error {
		var b []byte
		for _, v := range indptr {
			b = put(b, v)
		}
		_, err := w.Write(b)
		return err
	})
	c.Indices = generated("indices", index, n, func(w io.Writer) error {
		var b []byte
		return a.entries(ctx, mask, func(_ int, cols []int32, _ []float32) error {
			b = b[:0]
			for _, col := range cols {
				b = put(b, int64(col))
			}
			_, err := w.Write(b)
			return err
		})
	})
	c.Data = generated("data", onnxio.Float32, n, func(w io.Writer) error {
		var b []byte
		return a.entries(ctx, mask, func(_ int, _ []int32, v []float32) error {
			b = b[:0]
			for _, x := range v {
				b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
			}
			_, err := w.Write(b)
			return err
		})
	})
	return c, nil
}

// Dense returns the matrix, float32 [Rows, Cols], or with mask its support,
// uint8, 1 in the support and 0 outside. It is generated when it is written, the matrix
// also by rows, of which those are made that are asked for.
func (a *Matrix) Dense(ctx context.Context, mask bool) *onnxio.Tensor {
	t := &onnxio.Tensor{Name: a.Layer.Weight, Type: onnxio.Float32, Dims: []int64{int64(a.Rows), int64(a.Cols)}}
	size := int64(a.Rows) * int64(a.Cols)
	if mask {
		t.Type = onnxio.Uint8
		t.Data = onnxio.Generate(size, func(w io.Writer) error {
			b := make([]byte, a.Cols)
			return a.entries(ctx, true, func(_ int, cols []int32, _ []float32) error {
				clear(b)
				for _, c := range cols {
					b[c] = 1
				}
				_, err := w.Write(b)
				return err
			})
		})
		return t
	}
	t.Data = onnxio.GenerateRows(int64(a.Rows), 4*int64(a.Cols), func(w io.Writer, from, until int64) error {
		b := make([]byte, 4*a.Cols)
		return a.orderedRows(ctx, int(from), int(until), func(_ int, row []float32, _ []int32) error {
			for i, v := range row {
				binary.LittleEndian.PutUint32(b[4*i:], math.Float32bits(v))
			}
			_, err := w.Write(b)
			return err
		})
	})
	return t
}

// WriteMatrixMarket writes the non-zeros of the matrix or, with mask, its
// support in the coordinate format of the Matrix Market, numbered from 1. Every
// number is written so that reading it gives the same float32.
// https://math.nist.gov/MatrixMarket/formats.html
func (a *Matrix) WriteMatrixMarket(ctx context.Context, w io.Writer, mask bool) error {
	var n int64
	err := a.entries(ctx, mask, func(_ int, cols []int32, _ []float32) error {
		n += int64(len(cols))
		return nil
	})
	if err != nil {
		return err
	}
	buf := bufio.NewWriterSize(w, 1<<16)
	fmt.Fprintf(buf, "%%%%MatrixMarket matrix coordinate real general\n%d %d %d\n", a.Rows, a.Cols, n)
	var line []byte
	err = a.entries(ctx, mask, func(r int, cols []int32, v []float32) error {
		for i, c := range cols {
			line = strconv.AppendInt(line[:0], int64(r)+1, 10)
			line = strconv.AppendInt(append(line, ' '), int64(c)+1, 10)
			line = strconv.AppendFloat(append(line, ' '), float64(v[i]), 'g', -1, 32)
			if _, err := buf.Write(append(line, '\n')); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return buf.Flush()
}
