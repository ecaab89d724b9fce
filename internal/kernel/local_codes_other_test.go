//go:build !amd64 && !arm64

package kernel

func localCodes[T Float]() map[string]*localCode[T] {
	return map[string]*localCode[T]{"plain": nil}
}
