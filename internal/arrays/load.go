package arrays

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"efcn/onnxio"
)

// Bundle is what Load found: arrays to feed to a model and, in a folder of
// ONNX test data, the outputs expected of it.
type Bundle struct {
	Inputs, Outputs []*onnxio.Tensor
}

// Load reads the inputs of a model: an .npz file with an array per input; an
// .npy file with the only one, which has no name; or a folder of ONNX test
// data, with input_0.pb, input_1.pb and so on in the order of the graph's
// inputs and, if it has them, output_0.pb and so on.
func Load(path string) (*Bundle, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	switch ext := strings.ToLower(filepath.Ext(path)); {
	case info.IsDir():
		return loadFolder(path)
	case ext == ".npz":
		all, err := ReadNPZ(path)
		return &Bundle{Inputs: all}, err
	case ext == ".npy":
		a, err := ReadNPY(path)
		return &Bundle{Inputs: []*onnxio.Tensor{a}}, err
	default:
		return nil, fmt.Errorf("%s: want an .npz file, an .npy file or a folder of ONNX test data", path)
	}
}

func loadFolder(dir string) (*Bundle, error) {
	inputs, err := readProtos(dir, "input")
	if err != nil {
		return nil, err
	}
	if len(inputs) == 0 {
		return nil, fmt.Errorf("%s: no input_0.pb; want a folder of ONNX test data", dir)
	}
	outputs, err := readProtos(dir, "output")
	return &Bundle{Inputs: inputs, Outputs: outputs}, err
}

// readProtos reads PREFIX_0.pb, PREFIX_1.pb and so on, up to the first that is
// not there.
func readProtos(dir, prefix string) ([]*onnxio.Tensor, error) {
	var all []*onnxio.Tensor
	for {
		path := filepath.Join(dir, fmt.Sprintf("%s_%d.pb", prefix, len(all)))
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return all, nil
		}
		a, err := onnxio.ReadTensor(path)
		if err != nil {
			return nil, err
		}
		all = append(all, a)
	}
}
