package kernel

// csrCodes are the codes of a sparse matrix that run here; nil is the plain one.
func csrCodes[T Float]() map[string]*csrCode[T] {
	return map[string]*csrCode[T]{"plain": nil, "NEON": csrCodeHere[T]()}
}
