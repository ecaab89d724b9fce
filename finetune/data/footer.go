package data

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// checkFooter refuses a Parquet file whose footer lies about lengths. The library takes
// memory for what they say first, and Go cannot go on where that is not there.
func checkFooter(file io.ReaderAt, size int64) error {
	var tail [8]byte
	if _, err := file.ReadAt(tail[:], max(0, size-int64(len(tail)))); err != nil {
		return fmt.Errorf("%d bytes, too few for a footer", size)
	}
	n := int64(binary.LittleEndian.Uint32(tail[:4]))
	if n > size-int64(len(tail)) {
		return fmt.Errorf("a footer of %d bytes, in a file of %d", n, size)
	}
	if magic := tail[4:]; string(magic) != "PAR1" {
		return fmt.Errorf("ends with % x; want 50 41 52 31", magic)
	}
	if err := checkThrift(file, size-int64(len(tail))-n, n); err != nil {
		return fmt.Errorf("footer: %w", err)
	}
	return nil
}

// checkPageIndex is checkFooter for the index of the pages of a column, which is n bytes
// at the offset start.
func checkPageIndex(file io.ReaderAt, size, start, n int64) error {
	if start < 0 || n < 0 || start > size-n {
		return fmt.Errorf("page index: %d bytes at offset %d, in a file of %d", n, start, size)
	}
	if err := checkThrift(file, start, n); err != nil {
		return fmt.Errorf("page index: %w", err)
	}
	return nil
}

// checkThrift refuses a structure of n bytes at the offset start that promises more than
// it has.
func checkThrift(file io.ReaderAt, start, n int64) error {
	content := make([]byte, n)
	if _, err := file.ReadAt(content, start); err != nil {
		return fmt.Errorf("offset %d: %w", start, reason(err))
	}
	t := thrift{left: content}
	if err := t.structure(maxThriftDepth); err != nil {
		return fmt.Errorf("offset %d: %w", start+n-int64(len(t.left)), err)
	}
	return nil
}

// thrift walks over a value in Thrift's compact protocol
// (github.com/apache/thrift, doc/specs/thrift-compact-protocol.md).
type thrift struct{ left []byte }

// The types of values. In a field, true and false are the value themselves.
const (
	thriftTrue = iota + 1
	thriftFalse
	thriftInt8
	thriftInt16
	thriftInt32
	thriftInt64
	thriftFloat64
	thriftString
	thriftList
	thriftSet
	thriftMap
	thriftStruct
)

// maxThriftDepth bounds how deep values are nested. Those of Parquet are five deep.
const maxThriftDepth = 64

var errThriftEnds = errors.New("ends inside a value")

// skip passes over n bytes.
func (t *thrift) skip(n uint64) error {
	if n > uint64(len(t.left)) {
		return fmt.Errorf("promises %d bytes more and has %d", n, len(t.left))
	}
	t.left = t.left[n:]
	return nil
}

func (t *thrift) byte() (byte, error) {
	if len(t.left) == 0 {
		return 0, errThriftEnds
	}
	b := t.left[0]
	t.left = t.left[1:]
	return b, nil
}

func (t *thrift) number() (uint64, error) {
	v, n := binary.Uvarint(t.left)
	if n <= 0 {
		return 0, errThriftEnds
	}
	t.left = t.left[n:]
	return v, nil
}

// structure passes over fields up to the zero that ends them, so many levels deep at most.
func (t *thrift) structure(depth int) error {
	for {
		header, err := t.byte()
		if err != nil || header == 0 {
			return err
		}
		if header>>4 == 0 { // the number of the field follows
			if _, err := t.number(); err != nil {
				return err
			}
		}
		kind := header & 0xf
		if kind == thriftTrue || kind == thriftFalse {
			continue
		}
		if err := t.value(kind, depth); err != nil {
			return err
		}
	}
}

// value passes over a value that is not a field's true or false.
func (t *thrift) value(kind byte, depth int) error {
	if depth == 0 {
		return fmt.Errorf("values nested more than %d deep", maxThriftDepth)
	}
	switch kind {
	case thriftTrue, thriftFalse, thriftInt8:
		return t.skip(1)
	case thriftInt16, thriftInt32, thriftInt64:
		_, err := t.number()
		return err
	case thriftFloat64:
		return t.skip(8)
	case thriftString:
		n, err := t.number()
		if err != nil {
			return err
		}
		return t.skip(n)
	case thriftList, thriftSet:
		return t.list(depth - 1)
	case thriftMap:
		return t.pairs(depth - 1)
	case thriftStruct:
		return t.structure(depth - 1)
	}
	return fmt.Errorf("a value of type %d, which Thrift does not have", kind)
}

// list passes over a list or a set.
func (t *thrift) list(depth int) error {
	header, err := t.byte()
	if err != nil {
		return err
	}
	n := uint64(header >> 4)
	if n == 0xf {
		if n, err = t.number(); err != nil {
			return err
		}
	}
	return t.items(n, depth, header&0xf)
}

// pairs passes over a map.
func (t *thrift) pairs(depth int) error {
	n, err := t.number()
	if err != nil || n == 0 {
		return err
	}
	kinds, err := t.byte()
	if err != nil {
		return err
	}
	return t.items(n, depth, kinds>>4, kinds&0xf)
}

// items passes over n items, each a value of every kind. A value takes a byte at least.
func (t *thrift) items(n uint64, depth int, kinds ...byte) error {
	if n > uint64(len(t.left)) {
		return fmt.Errorf("promises %d items more and has %d bytes", n, len(t.left))
	}
	for range n {
		for _, kind := range kinds {
			if err := t.value(kind, depth); err != nil {
				return err
			}
		}
	}
	return nil
}
