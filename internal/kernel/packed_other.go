//go:build !amd64 && !arm64

package kernel

import "unsafe"

// packed: there are micro-kernels for amd64 and arm64 only.
func packed() (backend, bool) { return nil, false }

func copyRows(rows int, src unsafe.Pointer, srcStep int, dst unsafe.Pointer, dstStep, size int) {}
