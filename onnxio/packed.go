package onnxio

import (
	"bytes"
	"fmt"

	"efcn/onnxio/internal/onnxpb"
)

// Packed returns the content of a tensor as it is stored, little-endian: that of
// Data or, of values of fewer than 8 bits in a typed field, which are carried as they
// are read, the low byte of each.
func Packed(t *Tensor) ([]byte, error) {
	if t.Data != nil {
		var b bytes.Buffer
		_, err := t.Data.WriteTo(&b)
		return b.Bytes(), err
	}
	p, ok := t.rest.msg.(*onnxpb.TensorProto)
	if !ok || p == nil || t.Type == String || len(p.Int32Data) == 0 {
		return nil, fmt.Errorf("tensor %q: its %s elements are not read", t.Name, t.Type)
	}
	var b []byte
	for _, v := range p.Int32Data {
		b = append(b, byte(v))
	}
	return b, nil
}
