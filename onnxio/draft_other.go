//go:build !linux

package onnxio

import (
	"errors"
	"os"
)

// createUnnamed is for systems that have files without a name.
func createUnnamed(string) (*os.File, error) { return nil, errors.ErrUnsupported }

// nameFile is not called where createUnnamed creates nothing.
func nameFile(*os.File, string) error { return errors.ErrUnsupported }
