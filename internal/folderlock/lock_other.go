//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd || windows)

package folderlock

import "errors"

func lock(string) (release func() error, held bool, err error) {
	return nil, false, errors.ErrUnsupported
}
