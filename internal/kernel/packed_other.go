//go:build !amd64

package kernel

// packed: there are micro-kernels for amd64 only.
func packed() (backend, bool) { return nil, false }
