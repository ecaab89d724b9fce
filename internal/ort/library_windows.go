package ort

import (
	"encoding/binary"

	"golang.org/x/sys/windows"
)

func loadLibrary(file string) (uintptr, error) {
	handle, err := windows.LoadLibrary(file)
	return uintptr(handle), err
}

func librarySymbol(handle uintptr, name string) (uintptr, error) {
	return windows.GetProcAddress(windows.Handle(handle), name)
}

// cPath is a path as the library takes it: UTF-16 that ends with a zero.
func cPath(path string) ([]byte, error) {
	units, err := windows.UTF16FromString(path)
	if err != nil {
		return nil, err
	}
	return binary.Append(nil, binary.LittleEndian, units)
}
