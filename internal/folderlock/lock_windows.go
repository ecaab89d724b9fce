package folderlock

import (
	"errors"
	"io/fs"

	"golang.org/x/sys/windows"
)

// lock opens the file at path for this process alone. The system closes it when
// the process ends, and removes it then.
func lock(path string) (release func() error, held bool, err error) {
	name, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return nil, false, &fs.PathError{Op: "lock", Path: path, Err: err}
	}
	file, err := windows.CreateFile(name, windows.GENERIC_READ|windows.GENERIC_WRITE, 0, nil,
		windows.OPEN_ALWAYS, windows.FILE_ATTRIBUTE_NORMAL|windows.FILE_FLAG_DELETE_ON_CLOSE, 0)
	if errors.Is(err, windows.ERROR_SHARING_VIOLATION) {
		return nil, true, nil
	}
	if err != nil {
		return nil, false, &fs.PathError{Op: "lock", Path: path, Err: err}
	}
	return func() error { return windows.CloseHandle(file) }, false, nil
}
