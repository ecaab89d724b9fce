package onnxio

import (
	"errors"
	"fmt"
	"io"
	"math"

	"google.golang.org/protobuf/proto"

	"efcn/onnxio/internal/onnxpb"
)

// maxMessage is the size in bytes up to which protobuf libraries read a message.
const maxMessage = math.MaxInt32

// maxDepth is how deep messages may nest: what C++ protobuf, and with it every
// ONNX runtime, accepts.
const maxDepth = 100

// Read reads the ONNX model in the file at path. External data stays in its
// file until it is asked for, and so does the raw data of tensors of 1 MiB and
// more; these files have to stay as they are until then. Everything else is in
// memory. A file that is no ONNX model, that is cut short, or whose tensors don't
// hold what their dimensions say is an error, as is external data outside the
// model's folder. Whether the model is valid is for Check to say.
func Read(path string) (*Model, error) {
	f, info, err := openRegular(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, plain(err))
	}
	defer f.Close()
	dir, err := openFolder(path)
	if err != nil {
		return nil, fmt.Errorf("%s: its folder: %w", path, err)
	}
	defer dir.root.Close()
	d := &onDisk{file: f, size: int(info.Size())}
	m, err := decode(d, d.size, dir, func(s span) (Data, error) {
		if s.to-s.from < largeTensor {
			b, err := d.part(s)
			return rawData(b), err
		}
		return inFile{path, int64(s.from), int64(s.to - s.from), info.Size(), info.ModTime()}, nil
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	m.Path = path
	return m, nil
}

// ReadFrom reads a whole model from r. External data is an error: a stream has
// no folder that it could be in.
func ReadFrom(r io.Reader) (*Model, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxMessage+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxMessage {
		return nil, errors.New("not an ONNX model: more than the 2 GiB of a protobuf message; store the weights " +
			"as external data")
	}
	return decodeBytes(b)
}

// decodeBytes parses a ModelProto in memory. The model's weights are slices of b.
func decodeBytes(b []byte) (*Model, error) {
	return decode(inMemory(b), len(b), nil, func(s span) (Data, error) { return rawData(b[s.from:s.to]), nil })
}

// decode parses a ModelProto of size bytes; content returns the raw data at a
// span of it.
func decode(src source, size int, dir *folder, content func(span) (Data, error)) (*Model, error) {
	head, err := src.peek(span{0, min(size, sniffed)})
	if err != nil {
		return nil, err
	}
	if kind := otherFormat(head); kind != "" {
		return nil, fmt.Errorf("not an ONNX model: %s", kind)
	}
	skeleton, spans, err := carve(src, size)
	if err != nil {
		return nil, fmt.Errorf("not an ONNX model: %w", err)
	}
	raw := make([]Data, len(spans))
	for i, s := range spans {
		if raw[i], err = content(s); err != nil {
			return nil, err
		}
	}
	p := new(onnxpb.ModelProto)
	if err := (proto.UnmarshalOptions{RecursionLimit: maxDepth}).Unmarshal(skeleton, p); err != nil {
		return nil, fmt.Errorf("not an ONNX model: a part of it can't be parsed (%w)", err)
	}
	switch {
	case p.Graph == nil:
		return nil, errors.New("not an ONNX model: it has no graph")
	case len(p.OpsetImport) == 0:
		return nil, errors.New("not an ONNX model: it imports no operator set")
	}
	d := &decoder{folder: dir, raw: raw}
	m := d.model(p)
	switch k := len(d.errs); k {
	case 0:
		return m, nil
	case 1:
		return nil, d.errs[0]
	default:
		return nil, fmt.Errorf("%w (and %d more errors like it)", d.errs[0], k-1)
	}
}
