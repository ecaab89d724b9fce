package affine

import (
	"encoding/binary"
	"io"
	"math"
)

// DenseBytes returns the bytes that the dense form of A takes in float32.
func (m *Map) DenseBytes() int64 { return 4 * int64(m.Rows()) * int64(m.Cols()) }

// WriteDense writes A as a dense row-major float32 matrix [Rows, Cols],
// little-endian.
func (m *Map) WriteDense(w io.Writer) error {
	rows, rowBytes := m.Rows(), 4*m.Cols()
	if rows == 0 || rowBytes == 0 {
		return nil
	}
	perChunk := min(rows, max(1, ChunkBytes/rowBytes))
	return writeChunks(w, (rows+perChunk-1)/perChunk, func() filler {
		var d denseRows
		return func(c int) []byte {
			return d.fill(m, c*perChunk, min((c+1)*perChunk, rows), perChunk)
		}
	})
}

// denseRows is a buffer that holds some rows of a matrix and is zero
// everywhere else. For the next rows the entries of the last ones are made zero
// one by one, or all of the buffer is where that is less work.
type denseRows struct {
	bytes  []byte
	lo, hi int   // the rows it holds
	taps   []Tap // scratch
}

// clearShare: a matrix with more than one entry in that many is cleared as a
// whole. Clearing memory is 8 to 16 times faster than storing to single entries.
const clearShare = 12

// fill makes the buffer, which has room for that many rows, hold rows lo to hi
// of m and returns their bytes.
func (d *denseRows) fill(m *Map, lo, hi, room int) []byte {
	rowBytes := 4 * m.Cols()
	if d.bytes == nil {
		d.bytes = make([]byte, room*rowBytes)
	}
	if m.NonZeros() > int64(m.Rows())*int64(m.Cols())/clearShare {
		clear(d.bytes[:(d.hi-d.lo)*rowBytes])
	} else {
		for r := d.lo; r < d.hi; r++ {
			d.put(m, r, d.bytes[(r-d.lo)*rowBytes:], false)
		}
	}
	d.lo, d.hi = lo, hi
	for r := lo; r < hi; r++ {
		d.put(m, r, d.bytes[(r-lo)*rowBytes:], true)
	}
	return d.bytes[:(hi-lo)*rowBytes]
}

// put stores the entries of row r of m into a dense row that is zero
// elsewhere, or zeros in their places.
func (d *denseRows) put(m *Map, r int, dense []byte, entries bool) {
	first, kernel, taps := m.row(r, d.taps)
	d.taps = taps
	coefs, in := m.Taps.Coefs, m.Taps.In
	for c := range m.InChannels / m.Groups {
		block := dense[4*(first+c)*in : 4*(first+c+1)*in]
		if !entries {
			for _, t := range taps {
				binary.LittleEndian.PutUint32(block[4*t.In:], 0)
			}
			continue
		}
		k := kernel[c*coefs : (c+1)*coefs]
		for _, t := range taps {
			binary.LittleEndian.PutUint32(block[4*t.In:], math.Float32bits(k[t.Coef]))
		}
	}
}
