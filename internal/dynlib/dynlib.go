// Package dynlib loads shared libraries at run time, without cgo. [Open] loads one,
// [Symbol] finds its functions, which purego.SyscallN calls, and [InEnvironments] finds
// the files of Python packages.
package dynlib

import (
	"errors"
	"path/filepath"
	"strings"
)

// Open loads file: a path, or a name that is looked for where the system looks for
// libraries. With global, libraries that are loaded later find its symbols; Windows
// makes no such difference. The error does not name file.
func Open(file string, global bool) (handle uintptr, err error) {
	handle, err = open(file, global)
	if err != nil {
		// The loader's message begins with the file.
		return 0, errors.New(strings.TrimPrefix(err.Error(), file+": "))
	}
	return handle, nil
}

// Symbol returns the address of a function or variable of a library.
func Symbol(handle uintptr, name string) (uintptr, error) { return symbol(handle, name) }

// Environments lists the folders of active Python environments: that of a virtual one,
// then that of a conda one.
func Environments(getenv func(string) string) []string {
	var roots []string
	for _, name := range []string{"VIRTUAL_ENV", "CONDA_PREFIX"} {
		if root := getenv(name); root != "" {
			roots = append(roots, root)
		}
	}
	return roots
}

// InEnvironments lists the files in active Python environments that match a pattern of
// [filepath.Glob], with slashes and relative to the environment's folder: by
// environment, then in the order of the patterns.
func InEnvironments(getenv func(string) string, patterns ...string) []string {
	var found []string
	for _, root := range Environments(getenv) {
		for _, pattern := range patterns {
			files, err := filepath.Glob(filepath.Join(root, filepath.FromSlash(pattern)))
			if err == nil { // only a malformed root is an error: nothing is there
				found = append(found, files...)
			}
		}
	}
	return found
}
