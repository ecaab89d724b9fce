package onnxio

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"google.golang.org/protobuf/proto"

	"efcn/onnxio/internal/onnxpb"
)

// ReadTensor reads a file that holds one TensorProto, as the ONNX project stores
// the inputs and outputs of a test: input_0.pb, output_0.pb. Its data must be in
// the file itself.
func ReadTensor(path string) (*Tensor, error) {
	t, err := readTensor(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, plain(err))
	}
	return t, nil
}

func readTensor(path string) (*Tensor, error) {
	b, err := readRegular(path)
	if err != nil {
		return nil, err
	}
	p := new(onnxpb.TensorProto)
	if err := proto.Unmarshal(b, p); err != nil {
		return nil, fmt.Errorf("not an ONNX tensor: %w", err)
	}
	if p.GetDataType() == 0 {
		return nil, errors.New("not an ONNX tensor: it has no data type")
	}
	d := new(decoder)
	if p.RawData != nil {
		d.raw, p.RawData = []Data{rawData(p.RawData)}, []byte{0}
	}
	t := d.tensor(p)
	if len(d.errs) > 0 {
		return nil, d.errs[0]
	}
	return t, nil
}

// readRegular reads a whole file, if that is one and no longer than protobuf
// can parse.
func readRegular(path string) ([]byte, error) {
	f, info, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b := make([]byte, info.Size())
	_, err = io.ReadFull(f, b)
	return b, err
}

// openRegular opens a file, if it is one and no longer than protobuf can parse.
func openRegular(path string) (*os.File, fs.FileInfo, error) {
	// A pipe is not opened: that could wait for ever.
	info, err := os.Stat(path)
	if err != nil {
		return nil, nil, err
	}
	switch {
	case info.IsDir():
		return nil, nil, errors.New("a folder; want a file")
	case !info.Mode().IsRegular():
		return nil, nil, errors.New("not a regular file")
	case info.Size() > maxMessage:
		return nil, nil, fmt.Errorf("%d bytes, more than the 2 GiB of a protobuf message; store the weights as "+
			"external data", info.Size())
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	if info, err = f.Stat(); err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, info, nil
}
