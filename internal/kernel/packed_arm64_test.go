package kernel

// packedHere: every processor for arm64 has NEON.
func packedHere() []backend { return []backend{packedNEON} }
