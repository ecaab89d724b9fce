//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package folderlock

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// lock locks the file at path by flock(2), which the system undoes when the
// process ends. The file is removed before the lock is released, so a lock may be on
// a file that has just lost its name; then it tries again.
func lock(path string) (release func() error, held bool, err error) {
	for {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
		if err != nil {
			return nil, false, err
		}
		held, err := flock(f)
		if held || err != nil {
			return nil, held, errors.Join(err, f.Close())
		}
		named, err := os.Stat(path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, false, errors.Join(err, f.Close())
		}
		if mine, err := f.Stat(); err != nil || named == nil || !os.SameFile(mine, named) {
			if err = errors.Join(err, f.Close()); err != nil {
				return nil, false, err
			}
			continue
		}
		return func() error {
			err := os.Remove(path)
			if errors.Is(err, fs.ErrNotExist) {
				err = nil // somebody has removed the folder
			}
			return errors.Join(err, f.Close())
		}, false, nil
	}
}

// flock locks an open file, and reports an error where another process holds the lock.
func flock(f *os.File) (held bool, err error) {
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EWOULDBLOCK):
			return true, nil
		case errors.Is(err, unix.ENOLCK), errors.Is(err, unix.EOPNOTSUPP),
			errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EINVAL):
			return false, fmt.Errorf("%w: %w", errors.ErrUnsupported, err)
		default:
			return false, err
		}
	}
}
