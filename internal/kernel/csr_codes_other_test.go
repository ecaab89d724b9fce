//go:build !amd64 && !arm64

package kernel

func csrCodes[T Float]() map[string]*csrCode[T] {
	return map[string]*csrCode[T]{"plain": nil}
}
