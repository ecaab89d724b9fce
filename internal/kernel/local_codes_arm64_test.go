package kernel

// localCodes are the codes of a locally connected layer that run here; nil is
// the plain one.
func localCodes[T Float]() map[string]*localCode[T] {
	return map[string]*localCode[T]{"plain": nil, "NEON": localCodeHere[T]()}
}
