package verify

// Operators that only name another shape.
func init() {
	for _, op := range []operator{
		{name: "Flatten", axis: always[int64](1)},
		{name: "Reshape"},
		{name: "Squeeze"},
		{name: "Unsqueeze"},
		{name: "Identity"},
		{name: "Dropout"}, // at inference
	} {
		op.reshapes = true
		register(op)
	}
}
