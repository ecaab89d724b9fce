//go:build linux && (amd64 || arm64)

package mpi

import (
	"time"

	"golang.org/x/sys/unix"

	"efcn/internal/dynlib"
)

// loadLibrary opens file for all: Open MPI's plugins look for its symbols.
func loadLibrary(file string) (uintptr, error) {
	return dynlib.Open(file, true)
}

// awaitReader waits until the launcher has read what this process printed into its
// pipes, of which it reads no more when the job ends.
func awaitReader() {
	for begin := time.Now(); time.Since(begin) < patience; time.Sleep(time.Millisecond) {
		left := 0
		for _, file := range []int{1, 2} {
			var stat unix.Stat_t
			if err := unix.Fstat(file, &stat); err != nil || stat.Mode&unix.S_IFMT != unix.S_IFIFO {
				continue
			}
			const fionread = unix.TIOCINQ // by its other name
			if n, err := unix.IoctlGetInt(file, fionread); err == nil {
				left += n
			}
		}
		if left == 0 {
			return
		}
	}
}
