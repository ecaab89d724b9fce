package convert

import (
	"efcn/onnxio"
	"efcn/onnxio/shape"
)

// operator is what this package knows of one ONNX operator.
type operator struct {
	// becomes says in a few words what the operator is in an eFCN.
	becomes string
	// plan decides what becomes of one node. An error made by keep leaves the
	// node on tensors; any other refuses the model.
	plan func(pl *planner, n *onnxio.Node) ([]*piece, error)
	// layer reports whether a node counts as a linear layer of the CNN; nil if none does.
	layer func(pl *planner, n *onnxio.Node) bool
	// notNegative reports whether no element of what a node computes can be less than
	// zero; nil if that is not known of any.
	notNegative func(pl *planner, n *onnxio.Node) bool
	// window and absorb are those of an operator that may have the padding of a Pad
	// before it for its own: its geometry on an input of that shape, and whether it
	// still computes the same with the padding.
	window func(pl *planner, n *onnxio.Node, in []int64) (shape.Window, error)
	absorb func(pl *planner, a *absorption) bool
	// kept returns the attributes that a node has where it is kept; nil for its own.
	kept func(pl *planner, n *onnxio.Node) []*onnxio.Attribute
}

// operators is the table of what can be embedded, by the operator's name in
// the domain ai.onnx. It is filled by init functions beside the operators and
// not changed afterwards.
var operators = map[string]operator{}

func register(name string, o operator) { operators[name] = o }

// operatorOf returns the row of a node's operator, and whether there is one.
func operatorOf(n *onnxio.Node) (operator, bool) {
	if onnxio.CanonicalDomain(n.Domain) != "" {
		return operator{}, false
	}
	o, ok := operators[n.OpType]
	return o, ok
}

// sameSign is operator.notNegative of what only moves, joins or averages the elements
// of its first input, or takes maxima of them.
func sameSign(pl *planner, n *onnxio.Node) bool { return pl.notNegative(n.Input(0)) }

// anyNode is operator.layer where every node is a linear layer.
func anyNode(*planner, *onnxio.Node) bool { return true }

// onReals is operator.layer of an operator that takes integers as well: sums of those,
// as in a count of pixels, have no weights.
func onReals(pl *planner, n *onnxio.Node) bool {
	t, ok := pl.plan.typeOf(n.Output(0))
	return !ok || !t.Elem.IsInteger()
}

// withConstant is operator.layer of a product of real numbers: one of its factors is
// a constant, which is no scale.
func withConstant(pl *planner, n *onnxio.Node) bool { return onReals(pl, n) && pl.hasFactor(n.Inputs) }
