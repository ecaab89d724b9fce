package ort

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// Library is an ONNX Runtime that was loaded. It may be used by several
// goroutines at once.
type Library struct {
	*api
	file string
}

// Load loads the shared library file or, if that is "", the one that the
// environment variable EFCN_ORT names or, if that is empty too, the first that
// is found: that of the Python package onnxruntime in an active virtual or conda
// environment, then under its usual names where the system looks for libraries.
// EFCN_ORT=off makes that last an error.
func Load(file string) (*Library, error) {
	return load(file, os.Getenv)
}

func load(file string, getenv func(string) string) (*Library, error) {
	if runtime.GOARCH != "amd64" && runtime.GOARCH != "arm64" {
		return nil, fmt.Errorf("ONNX Runtime is called on amd64 and arm64 only, this is %s", runtime.GOARCH)
	}
	choice := "--ort-lib"
	if file == "" {
		file, choice = getenv("EFCN_ORT"), "EFCN_ORT"
	}
	switch {
	case file == "off" && choice == "EFCN_ORT":
		return nil, errors.New("ONNX Runtime is switched off by EFCN_ORT=off; unset that, or name the library with --ort-lib FILE")
	case file != "":
		l, err := open(file)
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w", choice, file, err)
		}
		return l, nil
	}
	return search(append(packaged(getenv), libraryNames(runtime.GOOS)...))
}

// search opens the first of the files that can be opened.
func search(files []string) (*Library, error) {
	failed := ""
	for _, file := range files {
		l, err := open(file)
		if err == nil {
			return l, nil
		}
		if _, missing := os.Stat(file); missing == nil && failed == "" {
			failed = fmt.Sprintf(" (%s: %v)", file, err)
		}
	}
	return nil, fmt.Errorf("ONNX Runtime is not found: no %s where the system looks for libraries, and no Python package onnxruntime in an active environment%s; "+
		"pip install onnxruntime and activate its environment, or name the library with --ort-lib FILE or EFCN_ORT=FILE", strings.Join(libraryNames(runtime.GOOS), " or "), failed)
}

func open(file string) (*Library, error) {
	handle, err := loadLibrary(file)
	if err != nil {
		// The loader's message begins with the file, which is said already.
		return nil, errors.New(strings.TrimPrefix(err.Error(), file+": "))
	}
	a, err := newAPI(handle)
	if err != nil {
		return nil, err
	}
	return &Library{a, file}, nil
}

// String says which ONNX Runtime it is.
func (l *Library) String() string { return fmt.Sprintf("ONNX Runtime %s (%s)", l.version, l.file) }

// libraryNames lists what the shared library is called.
func libraryNames(goos string) []string {
	switch goos {
	case "darwin":
		return []string{"libonnxruntime.dylib", "/opt/homebrew/opt/onnxruntime/lib/libonnxruntime.dylib", "/usr/local/opt/onnxruntime/lib/libonnxruntime.dylib"}
	case "windows":
		return []string{"onnxruntime.dll"}
	default:
		return []string{"libonnxruntime.so.1", "libonnxruntime.so"}
	}
}

// packaged lists the libraries of Python packages in active environments, and
// of conda's own package.
func packaged(getenv func(string) string) []string {
	var found []string
	for _, root := range []string{getenv("VIRTUAL_ENV"), getenv("CONDA_PREFIX")} {
		if root == "" {
			continue
		}
		for _, pattern := range []string{
			"lib/python3*/site-packages/onnxruntime/capi/libonnxruntime.so*",
			"lib/python3*/site-packages/onnxruntime/capi/libonnxruntime*.dylib",
			"Lib/site-packages/onnxruntime/capi/onnxruntime.dll",
			"lib/libonnxruntime.so",
			"lib/libonnxruntime.dylib",
		} {
			files, err := filepath.Glob(filepath.Join(root, filepath.FromSlash(pattern)))
			if err == nil { // only a malformed root is an error: nothing is there
				found = append(found, files...)
			}
		}
	}
	return found
}
