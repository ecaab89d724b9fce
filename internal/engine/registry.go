package engine

import (
	"fmt"
	"strings"

	"efcn/internal/kernel"
	"efcn/onnxio"
)

// Versions of the default operator set that the engine runs. A newer one may
// change what an operator means, so it is refused.
const (
	minOpset = 7
	maxOpset = 28
)

// compute runs one node. in holds one value per input of the operator's
// signature, or more for a variadic one; nil where an optional input is left
// out. Inputs are not modified, but where exec.over allows it; a result may share
// memory with an input.
type compute[T kernel.Float] func(x *exec[T], in []*Tensor[T]) ([]*Tensor[T], error)

// builder reads a node's attributes and returns what computes it.
type builder[T kernel.Float] func(n *node) (compute[T], error)

// operator is what the registry knows of one operator.
type operator struct {
	name string
	// versions are those of the operator's schema that the code knows, as the
	// ONNX documentation lists them, ascending.
	versions []int64
	// until is the last opset that has the operator; 0 if it is still there.
	until int64
	// inputs has one letter an input: f floating point, n floating point or
	// integer, i integer, b bool, v any value that can be held. A final * lets
	// the last one repeat.
	inputs   string
	required int // how many of the inputs must be there
	outputs  int // most outputs; 0 means 1, -1 any number
	// limits says what of the operator is refused, for the documentation.
	limits string

	build32 builder[float32]
	build64 builder[float64]
}

// registry is filled by init functions and not modified after.
var registry = map[string]*operator{}

func register(op operator, build32 builder[float32], build64 builder[float64]) {
	op.build32, op.build64 = build32, build64
	registry[op.name] = &op
}

// slots is the number of inputs that compute may index without looking.
func (op *operator) slots() int { return len(strings.TrimSuffix(op.inputs, "*")) }

// variadic says whether the last input repeats.
func (op *operator) variadic() bool { return strings.HasSuffix(op.inputs, "*") }

// kind returns the letter of input i.
func (op *operator) kind(i int) byte { return op.inputs[min(i, op.slots()-1)] }

// version returns the schema version in force at an opset.
func (op *operator) version(opset int64) (int64, error) {
	if op.until != 0 && opset > op.until {
		return 0, fmt.Errorf("the operator ended with opset %d, the model uses %d", op.until, opset)
	}
	found := int64(0)
	for _, v := range op.versions {
		if v <= opset {
			found = v
		}
	}
	if found == 0 {
		return 0, fmt.Errorf("the operator begins with opset %d, the model uses %d", op.versions[0], opset)
	}
	return found, nil
}

// build picks the builder of a precision.
func build[T kernel.Float](op *operator) builder[T] {
	var b any = op.build32
	if _, double := any(T(0)).(float64); double {
		b = op.build64
	}
	return b.(builder[T])
}

// prepare makes the node ready to compute; subgraphs see no outer names.
func prepare[T kernel.Float](n *onnxio.Node, versions map[string]int64) (*step[T], error) {
	return prepareIn[T](n, versions, nil)
}

func prepareIn[T kernel.Float](n *onnxio.Node, versions map[string]int64, outer scope) (*step[T], error) {
	domain := onnxio.CanonicalDomain(n.Domain)
	op := registry[n.OpType]
	if domain != "" || op == nil {
		return nil, n.Errorf("the engine does not have this operator")
	}
	opset := versions[domain]
	if opset < minOpset || opset > maxOpset {
		return nil, n.Errorf("opset %d is not supported; export the model with opset %d to %d", opset, minOpset, maxOpset)
	}
	version, err := op.version(opset)
	if err != nil {
		return nil, n.Wrap(err)
	}
	if err := op.checkArity(n); err != nil {
		return nil, n.Wrap(err)
	}
	nn := &node{Node: n, version: version, opsets: versions, outer: outer}
	c, err := build[T](op)(nn)
	if err == nil {
		nn.refuseUnread()
	} // else the builder may have returned before it asked for all
	if refused := nn.attributeErrors(); refused != nil {
		err = refused
	}
	if err != nil {
		return nil, n.Wrap(err)
	}
	follow, _ := nn.follow.(follower[T])
	return &step[T]{node: n, op: op, compute: c, captured: nn.captured, leads: nn.leads, follow: follow}, nil
}

func (op *operator) checkArity(n *onnxio.Node) error {
	if !op.variadic() && len(n.Inputs) > op.slots() {
		return fmt.Errorf("%d inputs, the operator takes at most %d", len(n.Inputs), op.slots())
	}
	for i := range op.required {
		if n.Input(i) == "" {
			return fmt.Errorf("input %d is missing; the operator needs %d", i, op.required)
		}
	}
	most := op.outputs
	if most == 0 {
		most = 1
	}
	if most > 0 {
		for i := most; i < len(n.Outputs); i++ {
			if n.Outputs[i] != "" {
				return fmt.Errorf("output %d (%q) is not computed; the engine gives the first %d", i, n.Outputs[i], most)
			}
		}
	}
	return nil
}

// reads lists the names of the values a step takes: its inputs, then what its
// subgraphs take from the graph around them.
func (s *step[T]) reads() []string {
	if len(s.captured) == 0 {
		return s.node.Inputs
	}
	names := append([]string(nil), s.node.Inputs...)
	for len(names) < s.op.slots() {
		names = append(names, "")
	}
	return append(names, s.captured...)
}

// run checks the inputs' element types, computes, and sees that every named
// output is there.
func (s *step[T]) run(x *exec[T], in []*Tensor[T]) ([]*Tensor[T], error) {
	for i, v := range in {
		if v == nil || i >= s.op.slots() && !s.op.variadic() {
			continue
		}
		if kind := s.op.kind(i); !accepts(kind, v.Type) {
			return nil, s.node.Errorf("input %d (%q): %s is not supported here; want %s", i, s.node.Input(i), v.Type, kindNames[kind])
		}
	}
	for i := range s.op.required {
		if in[i] == nil {
			return nil, s.node.Errorf("input %d is missing", i)
		}
	}
	out, err := s.compute(x, in)
	if err != nil {
		return nil, s.node.Wrap(err)
	}
	for i, name := range s.node.Outputs {
		if name != "" && (i >= len(out) || out[i] == nil) {
			return nil, s.node.Errorf("output %d (%q) is not computed", i, name)
		}
	}
	return out, nil
}

var kindNames = map[byte]string{
	'f': "floating point", 'n': "floating point or integer", 'i': "an integer type", 'b': "bool", 'v': "any value",
}

func accepts(kind byte, t onnxio.DataType) bool {
	switch kind {
	case 'f':
		return t.IsFloat()
	case 'n':
		return t.IsFloat() || t.IsInteger()
	case 'i':
		return t.IsInteger()
	case 'b':
		return t == onnxio.Bool
	default:
		return held(t)
	}
}
