//go:build !amd64

package kernel

// packedHere: there are micro-kernels for amd64 only.
func packedHere() []backend { return nil }
