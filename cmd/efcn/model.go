package main

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"efcn/internal/constants"
	"efcn/onnxio"
)

// readModel reads a model, from stdin if path is "-", and refuses one that
// is not valid.
func (e *env) readModel(path string) (*onnxio.Model, error) {
	m, err := e.readUnchecked(path)
	if err != nil {
		return nil, err
	}
	if faults := unjoin(m.Check()); len(faults) > 0 {
		err := fmt.Errorf("not a valid model: %w", faults[0])
		if more := len(faults) - 1; more > 0 {
			err = fmt.Errorf("%w (and %d more; efcn check lists them)", err, more)
		}
		return nil, inFile(path, err)
	}
	return m, nil
}

func (e *env) readUnchecked(path string) (*onnxio.Model, error) {
	if path == "-" {
		m, err := onnxio.ReadFrom(e.in)
		return m, inFile("stdin", err)
	}
	m, err := onnxio.Read(path)
	if err != nil {
		return nil, inFile(path, err)
	}
	e.data = append(e.data, m.DataFiles()...)
	return m, nil
}

// sparesData refuses an output that would replace weights of a model that was read.
func (e *env) sparesData(output string) error {
	for _, path := range e.data {
		if sameFile(path, output) {
			return usagef("-o %s holds weights of the model that is read; write another file", output)
		}
	}
	return nil
}

// readFolded reads a model and folds its constant subgraphs, which is the form
// that plans are made of. shapes fixes inputs that the model leaves open.
func (e *env) readFolded(path string, shapes inputShapes) (*onnxio.Model, error) {
	return e.readWith(path, func(m *onnxio.Model) (*onnxio.Model, error) {
		// A constant that a caller may replace is taken at its default: a matrix that
		// is made from it cannot be replaced.
		m.Graph.Inputs = m.Graph.FeedInputs()
		return constants.Fold(m, constants.Options{Inputs: shapes})
	})
}

// readWith reads a model and folds its constant subgraphs in a way of its own.
func (e *env) readWith(path string, fold func(*onnxio.Model) (*onnxio.Model, error)) (*onnxio.Model, error) {
	m, err := e.readModel(path)
	if err != nil {
		return nil, err
	}
	folded, err := fold(m)
	return folded, inFile(path, err)
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

// unjoin returns the errors that errors.Join put together, in order.
func unjoin(err error) []error {
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var all []error
	for _, err := range joined.Unwrap() {
		all = append(all, unjoin(err)...)
	}
	return all
}
