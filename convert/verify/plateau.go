package verify

// Functions of one number that rise in steps.
func init() {
	for _, name := range []string{"Floor", "Ceil", "Round", "Sign"} {
		register(operator{name: name, elementwise: true})
	}
}
