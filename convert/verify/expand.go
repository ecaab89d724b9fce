package verify

import "efcn/onnxio"

// Operators that repeat elements, or make some, in a shape that an input gives.
// https://onnx.ai/onnx/operators/onnx__Expand.html
// https://onnx.ai/onnx/operators/onnx__Tile.html
func init() {
	register(
		operator{name: "Expand", moves: &movement{}, integers: passedOnInShape},
		operator{name: "Tile", moves: &movement{}, integers: passedOnInShape, lists: map[string]int{"repeats": 1}},
		operator{name: "ConstantOfShape", integers: allShape},
		operator{name: "Range", integers: allShape},
	)
}

// allShape: all inputs say of what shape something is.
func allShape(_ *net, node *onnxio.Node, _, _ int) span { return span{steers: node.Label()} }
