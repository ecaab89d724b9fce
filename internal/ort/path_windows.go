package ort

import (
	"encoding/binary"

	"golang.org/x/sys/windows"
)

// cPath is a path as the library takes it: UTF-16 that ends with a zero.
func cPath(path string) ([]byte, error) {
	units, err := windows.UTF16FromString(path)
	if err != nil {
		return nil, err
	}
	return binary.Append(nil, binary.LittleEndian, units)
}
