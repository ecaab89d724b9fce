package verify

import (
	"fmt"
	"slices"

	"efcn/onnxio"
)

// operator is the row of one ONNX operator: all that the checks know of it by its name.
// Whatever asks which operator a node is asks the row. What a row leaves out is not so:
// an operator without one is compared attribute by attribute, as it is written, and no
// bound on its rounding is known.
//
// Nothing in a row is shared with the converter, the engine or shape inference, which
// know the same operators: each reads the operators' pages for itself, so that a fault
// of one of them shows here.
type operator struct {
	name string // as the operator's page has it; of another domain with that in front

	// reshapes claims that it hands on the elements of its first input in their order: all
	// that it does is name another shape. Asked wherever values are followed through the
	// graph.
	reshapes bool
	// elementwise claims that it does the same to every element, so that on a vector it does
	// what it does on the tensor. Asked for the shapes of a kept node's inputs.
	elementwise bool
	// ofShape claims that its value follows from the shape of its input alone. Asked where
	// what follows from shapes is worked out (fromshapes.go), and for bounds.
	ofShape bool
	// random claims that it gives other numbers every time, so that no two models can be
	// compared that have it.
	random bool
	// shapedByData claims that the values it takes may decide how many it gives. Asked of a
	// node that the embedded engine lacks.
	shapedByData bool

	// defaults returns what the attributes that have a default are without being written
	// out, as attributeText writes them. Asked where the attributes of a kept node are
	// compared (attributes.go).
	defaults func(opset int64) map[string]string
	// axis returns the default of its attribute axis; nil if it has none.
	axis func(opset int64) int64
	// axisOfOutput claims that its axis counts those of the output, not of the first input.
	axisOfOutput bool
	// lists are its lists that are attributes before some opset and inputs since, with the
	// number of the input.
	lists map[string]int
	// anyOrder claims that the order in those lists says nothing.
	anyOrder bool
	// bias is the input that a fault of a kept node calls its bias; 0 for none.
	bias int

	// tie is what rounding decides in it. Asked where samples are moved there (ties.go).
	tie tie
}

// operators is the table, by name. It is filled by the init functions beside the
// operators and not changed afterwards.
var operators = make(map[string]*operator)

func register(rows ...operator) {
	for _, op := range rows {
		if operators[op.name] != nil {
			panic(fmt.Sprintf("verify: operator %s has two rows", op.name))
		}
		operators[op.name] = &op
	}
}

// other is the row of an operator that has none.
var other operator

// operatorOf returns the row of a node's operator; one that claims nothing if it has none,
// or if there is no node.
func operatorOf(node *onnxio.Node) *operator {
	if node == nil {
		return &other
	}
	if op := operators[node.QualifiedOp()]; op != nil {
		return op
	}
	return &other
}

// isOp reports whether node is one of those operators of the default domain. It is for the
// nodes that the layers of an eFCN are made of; what is to be known of an operator is in
// its row.
func isOp(node *onnxio.Node, names ...string) bool {
	return node != nil && slices.Contains(names, node.QualifiedOp())
}

// always is a default that no opset changes.
func always[T any](v T) func(opset int64) T { return func(int64) T { return v } }

// spelling is attributes by name, as attributeText writes them.
type spelling = map[string]string
