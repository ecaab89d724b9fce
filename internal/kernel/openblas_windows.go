package kernel

import "golang.org/x/sys/windows"

func loadLibrary(file string) (uintptr, error) {
	handle, err := windows.LoadLibrary(file)
	return uintptr(handle), err
}

func librarySymbol(handle uintptr, name string) (uintptr, error) {
	return windows.GetProcAddress(windows.Handle(handle), name)
}
