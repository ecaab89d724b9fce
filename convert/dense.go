package convert

import (
	"encoding/binary"
	"io"
	"math"
	"runtime"
)

// denseChunk is the number of bytes of a matrix that one worker prepares at a
// time: large enough to keep a disk busy, small enough that all of them stay
// far below a CNN's own size.
const denseChunk = 4 << 20

// DenseBytes returns the bytes that the dense form of A takes in float32.
func (m *Map) DenseBytes() int64 { return 4 * int64(m.Rows()) * int64(m.Cols()) }

// WriteDense writes A as a dense row-major float32 matrix [Rows, Cols],
// little-endian. Rows are prepared in parallel in a bounded buffer; what a
// worker touches of it is the non-zeros only, since the zeros around them stay.
func (m *Map) WriteDense(w io.Writer) error {
	rows, rowBytes := m.Rows(), 4*m.Cols()
	if rows == 0 || rowBytes == 0 {
		return nil
	}
	perChunk := min(rows, max(1, denseChunk/rowBytes))
	chunks := (rows + perChunk - 1) / perChunk

	// Worker i prepares chunks i, i+workers, … in two buffers by turns, so that
	// it fills one while the other is being written.
	workers := min(chunks, runtime.GOMAXPROCS(0))
	ready := make([]chan []byte, workers)
	free := make([]chan struct{}, workers)
	stop := make(chan struct{})
	defer close(stop)
	for i := range workers {
		ready[i] = make(chan []byte)
		free[i] = make(chan struct{}, 2)
		free[i] <- struct{}{}
		free[i] <- struct{}{}
		go func() {
			var buffers [2]denseRows
			for turn, c := 0, i; c < chunks; turn, c = 1-turn, c+workers {
				select {
				case <-free[i]:
				case <-stop:
					return
				}
				lo := c * perChunk
				content := buffers[turn].fill(m, lo, min(lo+perChunk, rows))
				select {
				case ready[i] <- content:
				case <-stop:
					return
				}
			}
		}()
	}
	for c := range chunks {
		i := c % workers
		if _, err := w.Write(<-ready[i]); err != nil {
			return err
		}
		free[i] <- struct{}{}
	}
	return nil
}

// denseRows is a buffer that holds some rows of a matrix and is zero
// everywhere else.
type denseRows struct {
	bytes  []byte
	lo, hi int   // the rows it holds
	taps   []Tap // scratch
}

// fill makes the buffer hold rows lo to hi of m and returns their bytes.
func (d *denseRows) fill(m *Map, lo, hi int) []byte {
	rowBytes := 4 * m.Cols()
	if d.bytes == nil {
		d.bytes = make([]byte, (hi-lo)*rowBytes)
	}
	for r := d.lo; r < d.hi; r++ {
		d.put(m, r, d.bytes[(r-d.lo)*rowBytes:], false)
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
