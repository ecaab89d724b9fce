package verify

// Comparisons of two numbers, and of one with what is no finite number.
func init() {
	for _, name := range []string{"Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual", "IsNaN", "IsInf"} {
		register(operator{name: name, elementwise: true})
	}
}
