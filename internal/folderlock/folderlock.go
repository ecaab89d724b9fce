// Package folderlock keeps two processes from working in one folder at a time.
//
// [Lock] is all there is to it.
package folderlock

import (
	"fmt"
	"path/filepath"
)

// Name is that of a file which a locked folder has. One that a process left
// behind which was killed locks nothing.
const Name = ".efcn.lock"

// InUseError says that somebody else has locked a folder.
type InUseError struct{ Dir string }

func (e *InUseError) Error() string {
	return fmt.Sprintf("%s is in use by another process; wait for that to end, or take another folder", e.Dir)
}

// Lock makes the caller the only one that works in the folder dir, as far as
// others ask for it, until it calls release or its process ends, however that
// ends. An *InUseError says that another one is; errors.ErrUnsupported that the
// file system, or this build, has no locks.
func Lock(dir string) (release func() error, err error) {
	release, held, err := lock(filepath.Join(dir, Name))
	if held {
		return nil, &InUseError{dir}
	}
	return release, err
}
