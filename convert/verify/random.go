package verify

// Operators that draw numbers.
func init() {
	for _, name := range []string{
		"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike",
	} {
		register(operator{name: name, random: true})
	}
}
