package verify

// Operators that give as many values as the data say, which the embedded engine lacks or
// has in part.
func init() {
	for _, name := range []string{"NonMaxSuppression", "Unique", "Compress", "Loop", "Scan", "If"} {
		register(operator{name: name, shapedByData: true})
	}
}
