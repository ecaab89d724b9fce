package finetune

import (
	"efcn/internal/kernel"
	"efcn/onnxio"
)

// operator is what finetune knows of an ONNX operator: a row of the table that the
// operators' files register. Elsewhere an operator is named only where nodes are
// matched with a pattern: the local form, and a GroupNorm as PyTorch writes it.
type operator struct {
	// single and double read a node and emit its layer; nil where it is not trained.
	single emitter[float32]
	double emitter[float64]
	// refusal says why an operator is not trained, if there is more to say than that.
	refusal string

	// reshapes means that output 0 is input 0 in other axes, batch and all.
	reshapes bool
	// orders means that output 0 holds elements of input 0. The bias of a layer may
	// be added after such a node.
	orders bool
	// maxima means that output 0 takes maxima of input 0: a ReLU commutes with it.
	maxima bool
	// shape means that the outputs follow from the shape of the input.
	shape bool
	// statistics are inputs that training moves by itself, without a gradient.
	statistics []int
	// logits returns what the loss is taken on where the node computes the output of
	// the model: the loss contains what the node does.
	logits func(n *onnxio.Node, opset int64) (string, error)

	// fanIn returns which input of a node its weights are and how many inputs an
	// output has; 0 where it has no weights.
	fanIn func(r *reinitializer, n *onnxio.Node) (at, fan int)
	// reset draws other weights of a node anew.
	reset func(r *reinitializer, n *onnxio.Node) error
}

// emitter reads an ONNX node and emits what it computes, at one precision.
type emitter[T kernel.Float] func(n *node[T]) error

// operators is filled by init functions and not modified after. The key of an operator
// of another domain than ONNX's begins with that and a dot.
var operators = map[string]*operator{}

// trait is a further field of a row.
type trait func(o *operator)

func register(name string, single emitter[float32], double emitter[float64], traits ...trait) {
	o := &operator{single: single, double: double}
	for _, t := range traits {
		t(o)
	}
	operators[name] = o
}

// operatorOf returns the row of a node's operator, an empty one where there is none.
func operatorOf(n *onnxio.Node) *operator {
	name := n.OpType
	if domain := onnxio.CanonicalDomain(n.Domain); domain != "" {
		name = domain + "." + name
	}
	if o := operators[name]; o != nil {
		return o
	}
	return &operator{}
}

// RunningStatistics returns which values of a graph are running statistics, which
// training moves by themselves and not by a gradient.
func RunningStatistics(g *onnxio.Graph) map[string]bool {
	found := map[string]bool{}
	for _, n := range g.Nodes {
		for _, i := range operatorOf(n).statistics {
			found[n.Input(i)] = true
		}
	}
	return found
}

// emitterOf returns the emitter of an operator, nil if it cannot be trained.
func emitterOf[T kernel.Float](o *operator) emitter[T] {
	if any(T(0)) == any(float32(0)) {
		return any(o.single).(emitter[T])
	}
	return any(o.double).(emitter[T])
}
