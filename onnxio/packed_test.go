package onnxio

import (
	"bytes"
	"testing"

	"efcn/onnxio/internal/onnxpb"
)

// TestPacked: the bytes of values of 4 bits, in a typed field and as raw data; not of
// strings.
func TestPacked(t *testing.T) {
	want := []byte{0x21, 0x03}
	typed := &Tensor{
		Name: "a", Type: Int4, Dims: []int64{3},
		rest: keep(&onnxpb.TensorProto{Int32Data: []int32{0x21, 0x03}}),
	}
	raw := &Tensor{Name: "b", Type: Int4, Dims: []int64{3}, Data: rawData(want)}
	for _, c := range []*Tensor{typed, raw} {
		if got, err := Packed(c); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %v, want %v (%v)", c.Name, got, want, err)
		}
	}
	if got, err := Packed(&Tensor{Name: "s", Type: String, Dims: []int64{1}}); err == nil {
		t.Errorf("strings: %v", got)
	}
}
