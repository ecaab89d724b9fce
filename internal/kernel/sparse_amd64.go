package kernel

// sterms64 and sterms16 compute c = Σ factor·b[offset:] + beta·c over so many
// columns and count terms, 0 among them. With beta = 0, c is not read.

//go:noescape
func sterms64(count int, terms *term32, b, c *float32, beta float32)

//go:noescape
func sterms16(count int, terms *term32, b, c *float32, beta float32)
