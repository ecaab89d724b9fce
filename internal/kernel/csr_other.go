//go:build !amd64

package kernel

// csrCodeHere: there is code for amd64 only.
func csrCodeHere[T Float]() *csrCode[T] { return nil }
