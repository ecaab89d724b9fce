package convert

import (
	"encoding/binary"
	"io"
	"math"

	"efcn/onnxio"
)

// rowsPerChunk is how many rows of the non-zeros of m, of that many bytes each,
// a worker prepares at a time.
func (m *Map) rowsPerChunk(bytes int64) int {
	perRow := m.NonZeros() / int64(max(m.Rows(), 1)) * bytes
	return int(max(1, chunkBytes/max(perRow, 1)))
}

// writeNonZeros writes what put appends for every row of A, in their order.
func (m *Map) writeNonZeros(w io.Writer, bytes int64, put func(b []byte, r int, taps *[]Tap) []byte) error {
	rows, perChunk := m.Rows(), m.rowsPerChunk(bytes)
	return writeChunks(w, (rows+perChunk-1)/perChunk, func() filler {
		buf := make([]byte, 0, chunkBytes+chunkBytes/4) // rows differ in length
		var taps []Tap
		return func(c int) []byte {
			buf = buf[:0]
			for r := c * perChunk; r < min((c+1)*perChunk, rows); r++ {
				buf = put(buf, r, &taps)
			}
			return buf
		}
	})
}

// WriteValues writes the non-zeros of A row by row, columns ascending, as
// little-endian float32.
func (m *Map) WriteValues(w io.Writer) error {
	return m.writeNonZeros(w, 4, func(b []byte, r int, buf *[]Tap) []byte {
		_, kernel, taps := m.row(r, *buf)
		*buf = taps
		for c := range m.InChannels / m.Groups {
			k := kernel[c*m.Taps.Coefs : (c+1)*m.Taps.Coefs]
			for _, t := range taps {
				b = binary.LittleEndian.AppendUint32(b, math.Float32bits(k[t.Coef]))
			}
		}
		return b
	})
}

// WriteIndices writes the linear indices row·Cols + column of the non-zeros of
// A in the order of WriteValues, which is ascending, as little-endian int64.
func (m *Map) WriteIndices(w io.Writer) error {
	return m.writeNonZeros(w, 8, func(b []byte, r int, buf *[]Tap) []byte {
		first, _, taps := m.row(r, *buf)
		*buf = taps
		start := uint64(r) * uint64(m.Cols())
		for c := range m.InChannels / m.Groups {
			block := start + uint64((first+c)*m.Taps.In)
			for _, t := range taps {
				b = binary.LittleEndian.AppendUint64(b, block+uint64(t.In))
			}
		}
		return b
	})
}

// sparseOpset is the version of Constant that has sparse_value.
const sparseOpset = 11

// sparse puts a linear layer into the eFCN with its matrix as a sparse constant:
// the non-zeros and their linear indices, sorted. It is the value of a Constant
// node, which ONNX types as a dense tensor: a sparse initializer is typed as a
// sparse tensor, which the checker lets no Gemm take.
func (b *builder) sparse(n *onnxio.Node, l *Layer) error {
	if v := b.plan.model.Opset(""); v < sparseOpset {
		return n.Errorf("opset %d has no sparse constants (version %d has); layout local is smaller still", v, sparseOpset)
	}
	name := b.unique(l.Node + ".weight")
	b.node(onnxio.SparseConstant(b.unique(name+"/constant"), name, &onnxio.SparseTensor{
		Dims: []int64{l.Rows, l.Cols},
		Values: &onnxio.Tensor{
			Name: name, Type: onnxio.Float32, Dims: []int64{l.NonZeros},
			Data: onnxio.Generate(4*l.NonZeros, l.affine.WriteValues),
		},
		Indices: &onnxio.Tensor{
			Name: name + ".indices", Type: onnxio.Int64, Dims: []int64{l.NonZeros},
			Data: onnxio.Generate(8*l.NonZeros, l.affine.WriteIndices),
		},
	}))
	b.gemm(n, l, name)
	return nil
}
