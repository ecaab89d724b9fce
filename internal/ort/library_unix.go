//go:build linux || darwin

package ort

import "github.com/ebitengine/purego"

func loadLibrary(file string) (uintptr, error) {
	return purego.Dlopen(file, purego.RTLD_NOW|purego.RTLD_LOCAL)
}

func librarySymbol(handle uintptr, name string) (uintptr, error) {
	return purego.Dlsym(handle, name)
}

// cPath is a path as the library takes it: bytes that end with a zero.
func cPath(path string) ([]byte, error) { return append([]byte(path), 0), nil }
