package main

import (
	"errors"
	"fmt"
	"testing"

	"efcn/convert"
	"efcn/internal/ort"
	"efcn/onnxio"
)

// TestAdvised: advice stands behind its own error, however that is wrapped.
func TestAdvised(t *testing.T) {
	one := &convert.OtherTypeError{Node: "a", Op: "Conv", Type: onnxio.Float64}
	two := &convert.OtherTypeError{Node: "b", Op: "Conv", Type: onnxio.Float64}
	plain := errors.New("plain")
	for _, c := range []struct {
		name string
		err  error
		want string
	}{
		{"none", plain, "plain"},
		{"wrapped", fmt.Errorf("cnn.onnx: %w; and so on", one), "cnn.onnx: " + one.Error() + " (--as float32); and so on"},
		{"joined", errors.Join(one, plain, two), one.Error() + " (--as float32)\nplain\n" + two.Error() + " (--as float32)"},
		{"twice the same", errors.Join(one, one), one.Error() + " (--as float32)\n" + one.Error() + " (--as float32)"},
		{"replaced", fmt.Errorf("x: %w", &ort.LibraryError{File: "f.so", Err: plain}), "x: --ort-lib f.so: plain"},
	} {
		if got := advised(c.err); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
