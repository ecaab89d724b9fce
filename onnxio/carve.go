package onnxio

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"google.golang.org/protobuf/encoding/protowire"
)

// A message on the way from a model to the raw data of its tensors.
type carrier int

const (
	inModel carrier = iota
	inGraph
	inNode
	inAttribute
	inFunction
	inSparse
	inTensor
)

// carriers says which fields of each carrier hold which other one. Training
// info is not among them: it is carried whole.
var carriers = [...]map[protowire.Number]carrier{
	inModel:     {7: inGraph, 25: inFunction},
	inGraph:     {1: inNode, 5: inTensor, 15: inSparse},
	inNode:      {5: inAttribute},
	inAttribute: {5: inTensor, 6: inGraph, 10: inTensor, 11: inGraph, 22: inSparse, 23: inSparse},
	inFunction:  {7: inNode, 11: inAttribute},
	inSparse:    {1: inTensor, 2: inTensor},
	inTensor:    {},
}

// carver takes the raw data out of a ModelProto, so that parsing what is left
// does not copy the weights, and does not even read those of a file.
type carver struct {
	source source
	chunks [][]byte // of the message without its raw data
	raw    []span
}

// span is a part of a source.
type span struct{ from, to int }

// source is where an encoded message is.
type source interface {
	// part returns the bytes of a span of the source, which the caller keeps.
	part(s span) ([]byte, error)
	// peek returns the bytes of a short span, for the time until the next call.
	peek(s span) ([]byte, error)
}

// inMemory is a message in memory.
type inMemory []byte

func (m inMemory) part(s span) ([]byte, error) { return m[s.from:s.to], nil }
func (m inMemory) peek(s span) ([]byte, error) { return m[s.from:s.to], nil }

// onDisk is a message in a file.
type onDisk struct {
	file   io.ReaderAt
	size   int
	window []byte // what was read last, for peek
	at     int
}

const windowSize = 1 << 14

func (d *onDisk) part(s span) ([]byte, error) {
	b := make([]byte, s.to-s.from)
	_, err := d.file.ReadAt(b, int64(s.from))
	if err == io.EOF {
		err = errCutShort
	}
	return b, err
}

func (d *onDisk) peek(s span) ([]byte, error) {
	if s.from < d.at || s.to > d.at+len(d.window) {
		var err error
		d.at = s.from
		if d.window, err = d.part(span{s.from, max(s.to, min(s.from+windowSize, d.size))}); err != nil {
			return nil, err
		}
	}
	return d.window[s.from-d.at : s.to-d.at], nil
}

// carve returns the ModelProto of size bytes in src with the raw data of each
// tensor replaced by its index in raw, as a varint.
func carve(src source, size int) (skeleton []byte, raw []span, err error) {
	c := carver{source: src}
	n, err := c.message(span{0, size}, inModel, 0)
	if err != nil {
		return nil, nil, err
	}
	skeleton = make([]byte, 0, n)
	for _, chunk := range c.chunks {
		skeleton = append(skeleton, chunk...)
	}
	return skeleton, c.raw, nil
}

// message appends the message at s to the chunks and returns their size.
func (c *carver) message(s span, in carrier, depth int) (size int, err error) {
	if depth > maxDepth {
		return 0, fmt.Errorf("messages nest deeper than %d", maxDepth)
	}
	kept := span{s.from, s.from} // fields that are kept as they are and not yet in chunks
	flush := func() error {
		if kept.to <= kept.from {
			return nil
		}
		chunk, err := c.source.part(kept)
		c.chunks = append(c.chunks, chunk)
		size += len(chunk)
		return err
	}
	err = fields(c.source, s, func(num protowire.Number, value *span, to int) error {
		next, inner := carriers[in][num]
		if value == nil || !inner && (in != inTensor || num != tensorRawData) {
			kept.to = to
			return nil
		}
		if err := flush(); err != nil {
			return err
		}
		if inner {
			at := len(c.chunks)
			c.chunks = append(c.chunks, nil)
			n, err := c.message(*value, next, depth+1)
			if err != nil {
				return err
			}
			head := protowire.AppendTag(nil, num, protowire.BytesType)
			head = protowire.AppendVarint(head, uint64(n))
			c.chunks[at] = head
			size += len(head) + n
		} else {
			head := appendBytes(nil, num, binary.AppendUvarint(nil, uint64(len(c.raw))))
			c.raw = append(c.raw, *value)
			c.chunks = append(c.chunks, head)
			size += len(head)
		}
		kept = span{to, to}
		return nil
	})
	if err == nil {
		err = flush()
	}
	return size, err
}

func appendBytes(b []byte, num protowire.Number, value []byte) []byte {
	b = protowire.AppendTag(b, num, protowire.BytesType)
	return protowire.AppendBytes(b, value)
}

const tensorRawData = 9

var errCutShort = errors.New("the data ends inside a field; it may have been cut short")

// longestHead is the most bytes that a field takes up to its content, and that
// one of fixed size takes.
const longestHead = 2 * binary.MaxVarintLen64

// fields calls visit with each field of the message at s: its number, where its
// content is if it is length-delimited (nil otherwise), and where it ends.
func fields(src source, s span, visit func(num protowire.Number, value *span, to int) error) error {
	for at := s.from; at < s.to; {
		head, err := src.peek(span{at, min(at+longestHead, s.to)})
		if err != nil {
			return err
		}
		num, typ, n := protowire.ConsumeTag(head)
		if n < 0 {
			return wireError(n)
		}
		var value *span
		var m int
		switch typ {
		case protowire.BytesType:
			var length uint64
			if length, m = protowire.ConsumeVarint(head[n:]); m < 0 {
				return wireError(m)
			}
			if length > uint64(s.to-at-n-m) {
				return errCutShort
			}
			value = &span{at + n + m, at + n + m + int(length)}
			m += int(length)
		case protowire.StartGroupType: // as long as it likes
			rest, err := src.part(span{at + n, s.to})
			if err != nil {
				return err
			}
			m = protowire.ConsumeFieldValue(num, typ, rest)
		default:
			m = protowire.ConsumeFieldValue(num, typ, head[n:])
		}
		if m < 0 {
			return wireError(m)
		}
		at += n + m
		if err := visit(num, value, at); err != nil {
			return err
		}
	}
	return nil
}

func wireError(n int) error {
	err := protowire.ParseError(n)
	if errors.Is(err, protowire.ParseError(-1)) { // protowire's errCodeTruncated
		return errCutShort
	}
	return err
}
