package verify

// Reductions, by the name behind Reduce.
// https://onnx.ai/onnx/operators/onnx__ReduceSum.html
func init() {
	for _, name := range []string{
		"Max", "Min", "Sum", "Mean", "Prod", "L1", "L2", "LogSum", "LogSumExp", "SumSquare",
	} {
		op := operator{
			name: "Reduce" + name, lists: map[string]int{"axes": 1}, anyOrder: true,
			defaults: always(spelling{"keepdims": "1", "noop_with_empty_axes": "0"}),
		}
		switch name {
		case "Max":
			op.moves = &movement{}
		case "Min":
			op.moves = &movement{as: "ReduceMax"}
		case "Sum", "Mean":
			op.terms = inputsAnOutput
		}
		register(op)
	}
}
