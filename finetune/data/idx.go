package data

import (
	"bufio"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"efcn/onnxio"
)

// openIDX reads images and labels in the IDX format of the MNIST database
// (yann.lecun.com/exdb/mnist, "the IDX file format"): two zero bytes, the
// element type, the rank, the dimensions as big-endian uint32, the elements.
func openIDX(images, labels string, o options) (*Set, error) {
	if s, err := streamIDX(images, labels, o); s != nil || err != nil {
		return s, err
	}
	pixels, shape, err := readIDX(images, 3, o.limit)
	if err != nil {
		return nil, err
	}
	classes, count, err := readIDX(labels, 1, o.limit)
	if err != nil {
		return nil, err
	}
	if shape[0] != count[0] {
		return nil, fmt.Errorf("%s has %d images, %s has %d labels; want as many", images, shape[0], labels, count[0])
	}
	f := frame{1, shape[1], shape[2], o.nhwc}
	s := &Set{X: make([]float32, len(pixels)), Labels: make([]int, len(classes)), Shape: f.shape(), ChannelsLast: o.nhwc}
	for i, p := range pixels {
		s.X[i] = float32(p) / 255
	}
	for i, c := range classes {
		s.Labels[i] = int(c)
	}
	return s, nil
}

const idxUint8 = 8 // the element type: unsigned bytes

// readIDX reads the bytes of an IDX file of that rank, of its first limit
// items if limit is not 0. Offsets in errors count the uncompressed bytes.
func readIDX(path string, rank, limit int) (data []byte, shape []int, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	r, _, err := uncompressed(f)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}

	header, err := readIDXHeader(r, rank)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	shape = make([]int, rank)
	dims := make([]int64, rank)
	for i := range shape {
		dims[i] = int64(binary.BigEndian.Uint32(header[4+4*i:]))
		if limit > 0 && i == 0 {
			dims[i] = min(dims[i], int64(limit))
		}
		shape[i] = int(dims[i])
	}
	n, err := onnxio.NumElements(dims)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: offset 4: shape %v: %w", path, dims, err)
	}

	// What is allocated grows with what is read, whatever the header claims.
	data, err = io.ReadAll(io.LimitReader(r, n))
	if int64(len(data)) < n {
		return nil, nil, fmt.Errorf("%s: ends at offset %d; its header promises %d bytes%s", path, len(header)+len(data),
			int64(len(header))+n, because(err))
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	if limit == 0 {
		// Reading past the end is also what makes gzip compare its checksum.
		extra, err := io.CopyN(io.Discard, r, 1)
		if extra > 0 {
			return nil, nil, fmt.Errorf("%s: goes on past offset %d, where its header says it ends", path, int64(len(header))+n)
		}
		if !errors.Is(err, io.EOF) {
			return nil, nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	return data, shape, nil
}

// readIDXHeader reads the header of data of some rank.
func readIDXHeader(r io.Reader, rank int) ([]byte, error) {
	header := make([]byte, 4+4*rank)
	n, err := io.ReadFull(r, header)
	switch {
	case err != nil && n < 4:
	case header[0] != 0 || header[1] != 0:
		return nil, fmt.Errorf("starts with % x; an IDX file starts with 00 00", header[:4])
	case header[2] != idxUint8:
		return nil, fmt.Errorf("offset 2: IDX elements of type 0x%02x; want unsigned bytes, 0x08", header[2])
	case int(header[3]) != rank:
		return nil, fmt.Errorf("offset 3: IDX data of rank %d; want %d (images have 3, labels 1)", header[3], rank)
	}
	if err != nil {
		return nil, fmt.Errorf("ends at offset %d, inside the IDX header%s", n, because(err))
	}
	return header, nil
}

// uncompressed returns the content of a file that may be gzipped.
func uncompressed(f io.Reader) (r io.Reader, compressed bool, err error) {
	buffered := bufio.NewReader(f)
	if magic, _ := buffered.Peek(2); len(magic) == 2 && magic[0] == 0x1f && magic[1] == 0x8b {
		z, err := gzip.NewReader(buffered)
		return z, true, err
	}
	return buffered, false, nil
}

// because says why reading stopped, where that is not just the end of the file.
func because(err error) string {
	if err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return ""
	}
	return fmt.Sprintf(" (%v)", err)
}

// reason strips the operation and the path from an error of the system.
func reason(err error) error {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		return pathErr.Err
	}
	return err
}
