package onnxio

import (
	"fmt"
	"io"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// rope is an encoded message whose tensors are not in memory yet: pieces of
// bytes, and Data to be written between them. Its size is known, which is what
// the length in front of a nested message needs.
type rope struct {
	pieces []piece
	size   int64
}

// piece is bytes, or the content of a tensor.
type piece struct {
	bytes []byte
	data  Data
	name  string // of the tensor, for errors
}

func (r *rope) bytes(b []byte) {
	if len(b) == 0 {
		return
	}
	r.size += int64(len(b))
	if k := len(r.pieces); k > 0 && r.pieces[k-1].data == nil {
		r.pieces[k-1].bytes = append(r.pieces[k-1].bytes, b...)
		return
	}
	r.pieces = append(r.pieces, piece{bytes: append([]byte(nil), b...)})
}

// message appends the fields of p.
func (r *rope) message(p proto.Message) error {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(p)
	if err != nil {
		return err
	}
	r.bytes(b)
	return nil
}

// data appends the field num with the content of a tensor.
func (r *rope) data(num protowire.Number, name string, d Data) {
	r.bytes(head(num, d.Len()))
	r.pieces = append(r.pieces, piece{data: d, name: name})
	r.size += d.Len()
}

// nested appends the field num with the message sub.
func (r *rope) nested(num protowire.Number, sub *rope) {
	r.bytes(head(num, sub.size))
	for _, p := range sub.pieces {
		if p.data == nil {
			r.bytes(p.bytes)
			continue
		}
		r.pieces = append(r.pieces, p)
		r.size += p.data.Len()
	}
}

// head is what stands in front of a length-delimited field of n bytes.
func head(num protowire.Number, n int64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(nil, num, protowire.BytesType), uint64(n))
}

func (r *rope) WriteTo(w io.Writer) (int64, error) {
	var written int64
	for _, p := range r.pieces {
		var n int64
		var err error
		if p.data == nil {
			var k int
			k, err = w.Write(p.bytes)
			n = int64(k)
		} else {
			n, err = writeData(w, p.data, p.name)
		}
		written += n
		if err != nil {
			return written, err
		}
	}
	return written, nil
}

// writeData writes d, and holds it to its word about its length: one byte more
// or less would make garbage of all that follows.
func writeData(w io.Writer, d Data, name string) (int64, error) {
	n, err := d.WriteTo(w)
	if err == nil && n != d.Len() {
		err = fmt.Errorf("wrote %d of its %d bytes", n, d.Len())
	}
	if err != nil {
		return n, fmt.Errorf("tensor %q: %w", name, err)
	}
	return n, nil
}
