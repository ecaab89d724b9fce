package verify

// Operators that only name another shape.
func init() {
	for _, op := range []operator{
		{name: "Flatten", axis: always[int64](1)},
		{name: "Reshape"},
		{name: "Squeeze"},
		{name: "Unsqueeze"},
		{name: "Identity"},
		{name: "Dropout", moves: &movement{values: true}}, // at inference
	} {
		op.reshapes = true
		if op.moves == nil {
			op.moves = &movement{}
		}
		register(op)
	}
}
