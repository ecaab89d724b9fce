package convert

import (
	"efcn/onnxio"
)

// operator is what this package knows of one ONNX operator.
type operator struct {
	// becomes says in a few words what the operator is in an eFCN.
	becomes string
	// plan decides what becomes of one node. An error made by keep leaves the
	// node on tensors; any other refuses the model.
	plan func(pl *planner, n *onnxio.Node) (step, error)
}

// operators is the table of what can be embedded, by the operator's name in
// the domain ai.onnx. It is filled by init functions beside the operators and
// not changed afterwards.
var operators = map[string]operator{}

func register(name string, o operator) { operators[name] = o }
