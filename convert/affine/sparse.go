package affine

import (
	"encoding/binary"
	"io"
	"math"
)

// rowsPerChunk is how many rows of the non-zeros of m, of that many bytes each,
// a worker prepares at a time.
func (m *Map) rowsPerChunk(bytes int64) int {
	perRow := m.NonZeros() / int64(max(m.Rows(), 1)) * bytes
	return int(max(1, ChunkBytes/max(perRow, 1)))
}

// writeNonZeros writes what put appends for every row of A, in their order.
func (m *Map) writeNonZeros(w io.Writer, bytes int64, put func(b []byte, r int, taps *[]Tap) []byte) error {
	rows, perChunk := m.Rows(), m.rowsPerChunk(bytes)
	return writeChunks(w, (rows+perChunk-1)/perChunk, func() filler {
		buf := make([]byte, 0, ChunkBytes+ChunkBytes/4) // rows differ in length
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
