// Package folderlock keeps two processes from working in one folder at a time.
//
// Call [Lock].
package folderlock

import (
	"fmt"
	"path/filepath"
)

// Name is the name of the file that a locked folder contains. A process that is
// killed leaves the file behind, but no lock.
const Name = ".efcn.lock"

// InUseError reports a folder that another caller has locked.
type InUseError struct{ Dir string }

func (e *InUseError) Error() string {
	return fmt.Sprintf("%s is in use by another process; wait for that to end, or take another folder", e.Dir)
}

// Lock locks the folder dir against other callers of Lock until the caller calls
// release or its process ends, by whatever signal. The error is an *InUseError where
// another caller holds the lock, and errors.ErrUnsupported where the file system, or
// this build, has no locks.
func Lock(dir string) (release func() error, err error) {
	return LockFile(dir, Name)
}

// LockFile is Lock by a file of another name in dir: of each name there is one lock.
func LockFile(dir, name string) (release func() error, err error) {
	release, held, err := lock(filepath.Join(dir, name))
	if held {
		return nil, &InUseError{dir}
	}
	return release, err
}
