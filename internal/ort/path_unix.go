//go:build linux || darwin || freebsd

package ort

// cPath is a path as the library takes it: bytes that end with a zero.
func cPath(path string) ([]byte, error) { return append([]byte(path), 0), nil }
