//go:build !amd64 && !arm64

package kernel

// csrCodeHere: there is code for amd64 and arm64 only.
func csrCodeHere[T Float]() *csrCode[T] { return nil }
