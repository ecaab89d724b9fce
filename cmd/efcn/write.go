package main

import (
	"context"
	"fmt"
	"io"

	"efcn/onnxio"
)

func newExternalData() oneOf {
	return oneOf{
		value:   string(onnxio.ExternalAuto),
		allowed: []string{string(onnxio.ExternalAuto), string(onnxio.ExternalAlways), string(onnxio.ExternalNever)},
	}
}

// written says what a command wrote.
type written struct {
	Path      string `json:"path"`
	Bytes     int64  `json:"bytes"`
	DataPath  string `json:"external_data,omitempty"`
	DataBytes int64  `json:"external_data_bytes,omitempty"`
}

func (w *written) String() string {
	text := fmt.Sprintf("wrote %s (%s)", w.Path, formatBytes(w.Bytes))
	if w.DataPath != "" {
		text += fmt.Sprintf(" and %s (%s)", w.DataPath, formatBytes(w.DataBytes))
	}
	return text
}

// writeModel writes m to path, or to stdout if path is "-". An interrupt ends
// the writing of a large model, and leaves no file, as an error does.
func (e *env) writeModel(ctx context.Context, path string, m *onnxio.Model, o onnxio.WriteOptions) (*written, error) {
	if path == "-" {
		n, err := onnxio.WriteTo(interruptible(ctx, e.out), m)
		return &written{Path: "stdout", Bytes: n}, inFile("stdout", err)
	}
	w, err := onnxio.WriteContext(ctx, path, m, o)
	if err != nil {
		return nil, inFile(path, err)
	}
	return &written{Path: w.Path, Bytes: w.Bytes, DataPath: w.DataPath, DataBytes: w.DataBytes}, nil
}

// interruptible returns a writer to w that fails once ctx is done.
func interruptible(ctx context.Context, w io.Writer) io.Writer {
	return writerFunc(func(p []byte) (int, error) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		return w.Write(p)
	})
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
