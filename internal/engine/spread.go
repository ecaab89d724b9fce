package engine

// Spread is where a value that all ranks have goes to layers of which each has a part.
// Package convert/cut puts it into the model of a rank, for gradients: forward it is
// Identity.
func init() {
	registerForRanks(operator{name: "Spread", inputs: "f"}, identity[float32], identity[float64])
}
