package data

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
)

// records are the samples of a streamed set of one shape that lie in files at equal
// distances, as bytes or as little-endian float32.
type records struct {
	files  []recordFile
	frame  frame // as it is stored
	last   bool  // whether samples are to have the channel axis last
	floats bool
}

type recordFile struct {
	file   *os.File // stays open
	bytes  int64
	offset int64 // of the first sample
	stride int64
	first  int // among all samples
	count  int
}

// add appends the samples of a file.
func (r *records) add(path string, offset, stride int64, count int) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err != nil {
		return errors.Join(err, file.Close())
	}
	first := 0
	if n := len(r.files); n > 0 {
		first = r.files[n-1].first + r.files[n-1].count
	}
	r.files = append(r.files, recordFile{file, info.Size(), offset, stride, first, count})
	return nil
}

// close closes the files of a set that is not to be.
func (r *records) close() {
	for _, f := range r.files {
		_ = f.file.Close() // it was only read
	}
}

// find returns the file of a sample and where it begins there.
func (r *records) find(index int) (recordFile, int64) {
	i := len(r.files) - 1
	for r.files[i].first > index {
		i--
	}
	f := r.files[i]
	return f, f.offset + int64(index-f.first)*f.stride
}

func (r *records) name(index int) string {
	f, at := r.find(index)
	return fmt.Sprintf("%s: offset %d", f.file.Name(), at)
}

func (r *records) read(index int) (frame, []float32, error) {
	f, at := r.find(index)
	n := r.frame.size()
	width := 1
	if r.floats {
		width = 4
	}
	content := make([]byte, n*width)
	if _, err := f.file.ReadAt(content, at); err != nil {
		return frame{}, nil, fmt.Errorf("%s: %w", r.name(index), reason(err))
	}
	to := r.frame
	to.last = r.last
	channel, row, column := r.frame.strides()
	toChannel, toRow, toColumn := to.strides()
	pixels := make([]float32, n)
	for c := range to.channels {
		for y := range to.height {
			for x := range to.width {
				from, into := c*channel+y*row+x*column, c*toChannel+y*toRow+x*toColumn
				if r.floats {
					pixels[into] = math.Float32frombits(binary.LittleEndian.Uint32(content[4*from:]))
				} else {
					pixels[into] = float32(content[from]) / 255
				}
			}
		}
	}
	return to, pixels, nil
}

func (r *records) identify(w io.Writer) {
	fmt.Fprintf(w, "%+v %v %v\n", r.frame, r.last, r.floats)
	for _, f := range r.files {
		fmt.Fprintf(w, "%q %d %d %d %d\n", filepath.Base(f.file.Name()), f.bytes, f.offset, f.stride, f.count)
	}
}

// exceeds reports whether so many samples of a size take more memory than they may.
func (o options) exceeds(samples, size int) bool {
	if o.limit > 0 {
		samples = min(samples, o.limit)
	}
	return float64(samples)*float64(size)*4 > float64(o.memory)
}

// inPlace refuses samples that are more than memory was allowed for, and that cannot be
// read where they lie. Those of a specification that does not say are read whole.
func (o options) inPlace(path, why string) error {
	if !o.given["memory"] {
		return nil
	}
	return fmt.Errorf("%s: more than memory=%d holds, and %s; write it anew, or allow more memory", path, o.memory, why)
}

// streamIDX opens plain IDX images that are more than memory may hold; otherwise the
// set is nil, also where something is wrong, which reading it whole will name.
func streamIDX(images, labels string, o options) (*Set, error) {
	file, err := os.Open(images)
	if err != nil {
		return nil, nil
	}
	defer file.Close()
	r, compressed, err := uncompressed(file)
	if err != nil {
		return nil, nil
	}
	var header [16]byte
	if _, err := io.ReadFull(r, header[:]); err != nil || binary.BigEndian.Uint32(header[:]) != idxUint8<<8|3 {
		return nil, nil
	}
	dim := func(i int) int { return int(binary.BigEndian.Uint32(header[4*i:])) }
	n, f := dim(1), frame{1, dim(2), dim(3), false}
	if f.height == 0 || f.width == 0 || f.height > maxPixels/f.width || !o.exceeds(n, f.size()) {
		return nil, nil
	}
	if compressed {
		return nil, o.inPlace(images, "it is compressed")
	}
	info, err := file.Stat()
	if err != nil || info.Size() != int64(len(header))+int64(n)*int64(f.size()) {
		return nil, nil
	}
	classes, count, err := readIDX(labels, 1, o.limit)
	if err != nil {
		return nil, err
	}
	if o.limit > 0 {
		n = min(n, o.limit)
	}
	if count[0] != n {
		return nil, fmt.Errorf("%s has %d images, %s has %d labels; want as many", images, n, labels, count[0])
	}
	rec := &records{frame: f, last: o.nhwc}
	if err := rec.add(images, int64(len(header)), int64(f.size()), n); err != nil {
		return nil, err
	}
	f.last = o.nhwc
	s := &Set{Shape: f.shape(), ChannelsLast: o.nhwc, Labels: make([]int, n), stored: rec}
	for i, c := range classes {
		s.Labels[i] = int(c)
	}
	return s, nil
}
