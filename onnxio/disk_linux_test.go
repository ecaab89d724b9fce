package onnxio

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestReserve asks for more room than any disk has, before anything is written.
func TestReserve(t *testing.T) {
	dir := t.TempDir()
	const size = 1 << 60
	m := &Model{IRVersion: 10, Opsets: []Opset{{"", 17}}, Graph: &Graph{Name: "g", Initializers: []*Tensor{
		{Name: "w", Type: Float32, Dims: []int64{size / 4}, Data: zeros(size)},
	}}}
	_, err := Write(filepath.Join(dir, "huge.onnx"), m, WriteOptions{})
	if err == nil || !strings.Contains(err.Error(), "no room for 1152921504606846976 bytes: ") || strings.Contains(err.Error(), "\n") {
		t.Errorf("error %v, want one line that says what does not fit", err)
	}
	if names := list(t, dir); len(names) > 0 {
		t.Errorf("%v was left", names)
	}

	f, err := os.Create(filepath.Join(dir, "empty"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := reserve(f, 0); err != nil {
		t.Errorf("no bytes: %v", err)
	}
}
