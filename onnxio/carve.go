package onnxio

import (
	"encoding/binary"
	"errors"
	"fmt"

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
// does not copy the weights: a model in memory is then as large as its file.
type carver struct {
	chunks [][]byte // of the message without its raw data
	raw    [][]byte // slices of the file
}

// carve returns the ModelProto b with the raw data of each tensor replaced by
// its index in raw, as a varint.
func carve(b []byte) (skeleton []byte, raw [][]byte, err error) {
	var c carver
	size, err := c.message(b, inModel, 0)
	if err != nil {
		return nil, nil, err
	}
	skeleton = make([]byte, 0, size)
	for _, chunk := range c.chunks {
		skeleton = append(skeleton, chunk...)
	}
	return skeleton, c.raw, nil
}

// message appends the message b to the chunks and returns their size.
func (c *carver) message(b []byte, in carrier, depth int) (size int, err error) {
	if depth > maxDepth {
		return 0, fmt.Errorf("messages nest deeper than %d", maxDepth)
	}
	start, end := 0, 0 // of the fields that are kept as they are and not yet in chunks
	flush := func() {
		if end > start {
			c.chunks = append(c.chunks, b[start:end])
			size += end - start
		}
	}
	err = fields(b, func(num protowire.Number, value []byte, _, to int) error {
		next, inner := carriers[in][num]
		switch {
		case value == nil || !inner && (in != inTensor || num != tensorRawData):
			end = to
			return nil
		case !inner:
			flush()
			head := appendBytes(nil, num, binary.AppendUvarint(nil, uint64(len(c.raw))))
			c.raw = append(c.raw, value)
			c.chunks = append(c.chunks, head)
			size += len(head)
		default:
			flush()
			at := len(c.chunks)
			c.chunks = append(c.chunks, nil)
			n, err := c.message(value, next, depth+1)
			if err != nil {
				return err
			}
			head := protowire.AppendTag(nil, num, protowire.BytesType)
			head = protowire.AppendVarint(head, uint64(n))
			c.chunks[at] = head
			size += len(head) + n
		}
		start, end = to, to
		return nil
	})
	flush()
	return size, err
}

func appendBytes(b []byte, num protowire.Number, value []byte) []byte {
	b = protowire.AppendTag(b, num, protowire.BytesType)
	return protowire.AppendBytes(b, value)
}

const tensorRawData = 9

var errCutShort = errors.New("the data ends inside a field; it may have been cut short")

// fields calls visit with each field of the message b: its number, its content
// if it is length-delimited (nil otherwise, never nil if it is), and where in b
// it lies with its tag and length.
func fields(b []byte, visit func(num protowire.Number, value []byte, from, to int) error) error {
	for at := 0; at < len(b); {
		num, typ, n := protowire.ConsumeTag(b[at:])
		if n < 0 {
			return wireError(n)
		}
		var value []byte
		m := 0
		if typ == protowire.BytesType {
			value, m = protowire.ConsumeBytes(b[at+n:])
			if value == nil {
				value = []byte{}
			}
		} else {
			m = protowire.ConsumeFieldValue(num, typ, b[at+n:])
		}
		if m < 0 {
			return wireError(m)
		}
		if err := visit(num, value, at, at+n+m); err != nil {
			return err
		}
		at += n + m
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
