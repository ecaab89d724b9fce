package onnxio

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// reserve has the file system set size bytes aside for the new file f: a disk
// without room for them is found out before anything is written, and what is
// written then lies in few pieces. Where that is not to be had it does nothing.
func reserve(f *os.File, size int64) error {
	for {
		err := unix.Fallocate(int(f.Fd()), 0, 0, size)
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EINVAL):
			return nil
		default:
			return err
		}
	}
}

// beginSync has the system begin to put n bytes of f, from offset on, on the
// disk, and does not wait for them. An error will be Sync's too.
func beginSync(f *os.File, offset, n int64) {
	_ = unix.SyncFileRange(int(f.Fd()), offset, n, unix.SYNC_FILE_RANGE_WRITE)
}
