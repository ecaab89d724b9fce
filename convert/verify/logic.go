package verify

// Operators on truth values.
func init() {
	for _, name := range []string{"And", "Or", "Xor", "Not"} {
		register(operator{name: name, elementwise: true})
	}
}
