package dynlib

import "golang.org/x/sys/windows"

func open(file string, _ bool) (uintptr, error) {
	handle, err := windows.LoadLibrary(file)
	return uintptr(handle), err
}

func symbol(handle uintptr, name string) (uintptr, error) {
	return windows.GetProcAddress(windows.Handle(handle), name)
}
