package onnxio

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// createUnnamed creates a file in a folder under no name. The error is
// errors.ErrUnsupported where the file system has no such files.
func createUnnamed(dir string) (*os.File, error) {
	f, err := os.OpenFile(dir, os.O_WRONLY|unix.O_TMPFILE, 0o666)
	if errors.Is(err, unix.EISDIR) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP) {
		return nil, errors.ErrUnsupported
	}
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(descriptor(f)); err != nil { // no /proc, and no way to name it
		return nil, errors.Join(errors.ErrUnsupported, f.Close())
	}
	return f, nil
}

// nameFile gives a file without a name one that is free.
func nameFile(f *os.File, name string) error {
	return unix.Linkat(unix.AT_FDCWD, descriptor(f), unix.AT_FDCWD, name, unix.AT_SYMLINK_FOLLOW)
}

// descriptor is a path of an open file that has none.
func descriptor(f *os.File) string { return fmt.Sprintf("/proc/self/fd/%d", f.Fd()) }
