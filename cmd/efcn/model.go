package main

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"efcn"
	"efcn/onnxio"
)

// readModel reads a model, from stdin if path is "-", and refuses one that
// is not valid.
func (e *env) readModel(path string) (*onnxio.Model, error) {
	if path == "-" {
		if e.world != nil {
			return nil, usagef("only one of several ranks has stdin; want a file")
		}
		m, err := efcn.OpenFrom(e.in)
		return m, inFile("stdin", err)
	}
	m, err := efcn.Open(path)
	return m, inFile(path, err)
}

// readTwo reads two models.
func (e *env) readTwo(pathA, pathB string) (a, b *onnxio.Model, err error) {
	if a, err = e.readModel(pathA); err != nil {
		return nil, nil, err
	}
	b, err = e.readModel(pathB)
	return a, b, err
}

// keepFiles refuses an output that would replace what it is made from.
func keepFiles(output string, m *onnxio.Model, inPlace bool) error {
	if err := efcn.CheckOutput(output, m, inPlace); err != nil {
		return usagef("-o %w", err)
	}
	return nil
}

// inFile puts the file's name in front of an error that does not begin with it
// already, and drops the operation that the system names there.
func inFile(path string, err error) error {
	if err == nil {
		return nil
	}
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) && pathErr.Path == path && err.Error() == pathErr.Error() {
		return fmt.Errorf("%s: %w", path, pathErr.Err)
	}
	if strings.HasPrefix(err.Error(), path) {
		return err
	}
	return fmt.Errorf("%s: %w", path, err)
}
