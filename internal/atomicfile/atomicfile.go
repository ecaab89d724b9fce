// Package atomicfile writes files that a reader sees whole or not at all.
//
// It does what google/renameio does, and on Windows too.
package atomicfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
)

// Write calls write with a file that takes the place of path once write has
// returned without an error and all of it has reached the disk. Until then,
// and if anything fails, path is what it was before.
//
// A path that names a device or a pipe is written to directly, and one that is
// a symbolic link keeps being one.
func Write(path string, write func(w io.Writer) error) (err error) {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	mode := fs.FileMode(0o666)
	if info, err := os.Stat(path); err == nil {
		if info.IsDir() {
			return &fs.PathError{Op: "write", Path: path, Err: errors.New("is a directory")}
		}
		if !info.Mode().IsRegular() {
			return writeDirectly(path, write)
		}
		mode = info.Mode().Perm()
	}
	f, err := create(path, mode)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	if err := write(f); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := f.Sync(); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// Check returns an error if no file could be made at path, which it finds out by
// making one beside it, or if what is there is no regular file.
func Check(path string) error {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("%s: not a regular file; a model can't replace it", path)
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*.tmp")
	if err != nil {
		var pathErr *fs.PathError
		if errors.As(err, &pathErr) {
			err = pathErr.Err
		}
		return fmt.Errorf("%s: cannot be written: %w", path, err)
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

func writeDirectly(path string, write func(w io.Writer) error) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Close())
}

// create opens a new file beside path, so that renaming stays within one file
// system. Unlike os.CreateTemp it leaves the permissions to the umask.
func create(path string, mode fs.FileMode) (*os.File, error) {
	for range 100 {
		f, err := os.OpenFile(fmt.Sprintf("%s.%08x.tmp", path, rand.Uint32()), os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
		if err == nil || !errors.Is(err, fs.ErrExist) {
			var pathErr *fs.PathError
			if errors.As(err, &pathErr) {
				pathErr.Path = path // the name that the caller knows
			}
			return f, err
		}
	}
	return nil, &fs.PathError{Op: "create", Path: path, Err: errors.New("no free name beside it")}
}
