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
// file until it is asked for, and that file has to stay as it is until then;
// everything else is in memory. A file that is no ONNX model, that is cut
// short, or whose tensors don't hold what their dimensions say is an error, as
// is external data outside the model's folder. Whether the model is valid is
// for Check to say.
func Read(path string) (*Model, error) {
	b, err := readRegular(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, plain(err))
	}
	dir, err := openFolder(path)
	if err != nil {
		return nil, fmt.Errorf("%s: its folder: %w", path, err)
	}
	defer dir.root.Close()
	m, err := decode(b, dir)
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
		return nil, errors.New("not an ONNX model: more than the 2 GiB of a protobuf message; store the weights as external data")
	}
	return decode(b, nil)
}

// decode parses a ModelProto. The model's weights are slices of b.
func decode(b []byte, dir *folder) (*Model, error) {
	if kind := otherFormat(b); kind != "" {
		return nil, fmt.Errorf("not an ONNX model: %s", kind)
	}
	skeleton, raw, err := carve(b)
	if err != nil {
		return nil, fmt.Errorf("not an ONNX model: %w", err)
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
