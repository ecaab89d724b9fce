package ort

import (
	"fmt"
	"os"
	"runtime"
	"strings"

	"efcn/internal/dynlib"
)

// Library is an ONNX Runtime that was loaded. It may be used by several
// goroutines at once.
type Library struct {
	*api
	file string
}

// NotFoundError reports that no ONNX Runtime is there to be loaded. A caller that
// names the file of its library, as [Load] takes it, does without the search.
type NotFoundError struct {
	Why string // what was looked for, or why nothing was, and what would help
}

func (e *NotFoundError) Error() string { return e.Why + ", or name the library" }

// LibraryError reports that the file named to [Load] cannot be loaded.
type LibraryError struct {
	File string
	Err  error
}

func (e *LibraryError) Error() string { return fmt.Sprintf("ONNX Runtime: %s: %v", e.File, e.Err) }

func (e *LibraryError) Unwrap() error { return e.Err }

// Load loads the shared library file or, if that is "", the one that the
// environment variable EFCN_ORT names or, if that is empty too, the first that
// is found: that of the Python package onnxruntime in an active virtual or conda
// environment, then under its usual names where the system looks for libraries.
// EFCN_ORT=off makes that last an error. Errors are a [*NotFoundError] or a
// [*LibraryError], except for a file named by EFCN_ORT and on other processors.
func Load(file string) (*Library, error) {
	return load(file, os.Getenv)
}

func load(file string, getenv func(string) string) (*Library, error) {
	if runtime.GOARCH != "amd64" && runtime.GOARCH != "arm64" {
		return nil, fmt.Errorf("ONNX Runtime is called on amd64 and arm64 only, this is %s", runtime.GOARCH)
	}
	if file != "" {
		l, err := open(file)
		if err != nil {
			return nil, &LibraryError{File: file, Err: err}
		}
		return l, nil
	}
	switch file := getenv("EFCN_ORT"); file {
	case "":
		return search(append(packaged(getenv), libraryNames(runtime.GOOS)...))
	case "off":
		return nil, &NotFoundError{"ONNX Runtime is switched off by EFCN_ORT=off; unset that"}
	default:
		l, err := open(file)
		if err != nil {
			return nil, fmt.Errorf("EFCN_ORT %s: %w", file, err)
		}
		return l, nil
	}
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
	return nil, &NotFoundError{fmt.Sprintf("ONNX Runtime is not found: no %s where the system looks for libraries, "+
		"and no Python package onnxruntime in an active environment%s; "+
		"pip install onnxruntime and activate its environment, set EFCN_ORT=FILE",
		strings.Join(libraryNames(runtime.GOOS), " or "), failed)}
}

func open(file string) (*Library, error) {
	handle, err := dynlib.Open(file, false)
	if err != nil {
		return nil, err
	}
	a, err := newAPI(handle)
	if err != nil {
		return nil, err
	}
	return &Library{a, file}, nil
}

// String returns the version of the ONNX Runtime and its file.
func (l *Library) String() string { return fmt.Sprintf("ONNX Runtime %s (%s)", l.version, l.file) }

// libraryNames lists what the shared library is called.
func libraryNames(goos string) []string {
	switch goos {
	case "darwin":
		return []string{
			"libonnxruntime.dylib", "/opt/homebrew/opt/onnxruntime/lib/libonnxruntime.dylib",
			"/usr/local/opt/onnxruntime/lib/libonnxruntime.dylib",
		}
	case "windows":
		return []string{"onnxruntime.dll"}
	default:
		return []string{"libonnxruntime.so.1", "libonnxruntime.so"}
	}
}

// packaged lists the libraries of Python packages in active environments, and
// of conda's own package.
func packaged(getenv func(string) string) []string {
	return dynlib.InEnvironments(
		getenv,
		"lib/python3*/site-packages/onnxruntime/capi/libonnxruntime.so*",
		"lib/python3*/site-packages/onnxruntime/capi/libonnxruntime*.dylib",
		"Lib/site-packages/onnxruntime/capi/onnxruntime.dll",
		"lib/libonnxruntime.so",
		"lib/libonnxruntime.dylib",
	)
}
