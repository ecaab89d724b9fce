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
func (e *env) writeModel(ctx context.Context, path string, m *onnxio.Model, external string) (*written, error) {
	m = interruptible(ctx, m)
	if path == "-" {
		n, err := onnxio.WriteTo(e.out, m)
		return &written{Path: "stdout", Bytes: n}, inFile("stdout", err)
	}
	w, err := onnxio.Write(path, m, onnxio.WriteOptions{External: onnxio.ExternalData(external)})
	if err != nil {
		return nil, inFile(path, err)
	}
	return &written{Path: w.Path, Bytes: w.Bytes, DataPath: w.DataPath, DataBytes: w.DataBytes}, nil
}

// interruptible returns a copy of m whose weights stop being written when ctx
// is done.
func interruptible(ctx context.Context, m *onnxio.Model) *onnxio.Model {
	m = m.Clone()
	for i, t := range m.Graph.Initializers {
		if t.Data == nil {
			continue
		}
		data, weights := t.Data, *t
		weights.Data = onnxio.Generate(data.Len(), func(w io.Writer) error {
			_, err := data.WriteTo(writerFunc(func(p []byte) (int, error) {
				if err := ctx.Err(); err != nil {
					return 0, err
				}
				return w.Write(p)
			}))
			return err
		})
		m.Graph.Initializers[i] = &weights
	}
	return m
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
