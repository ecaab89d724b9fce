package verify

// Operators that only name another shape.
func init() {
	for _, op := range []operator{
		{name: "Flatten", axis: always[int64](1), integers: passedOn},
		{name: "Reshape", integers: passedOnInShape},
		{name: "Squeeze", integers: passedOnInShape},
		{name: "Unsqueeze", integers: passedOnInShape},
		{name: "Identity", integers: passedOn},
		{name: "Dropout", integers: passedOn, moves: &movement{values: true}}, // at inference
	} {
		op.reshapes = true
		if op.moves == nil {
			op.moves = &movement{}
		}
		register(op)
	}
}
