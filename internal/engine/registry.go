package engine

import (
	"strings"

	"efcn/internal/kernel"
	"efcn/onnxio"
)

// compute runs one node. in holds one value per input of the operator's
// signature, or more for a variadic one; nil where an optional input is left
// out. Inputs are not modified, but where exec.over allows it; a result may share
// memory with an input.
type compute[T kernel.Float] func(x *exec[T], in []*Tensor[T]) ([]*Tensor[T], error)

// builder reads a node's attributes and returns what computes it.
type builder[T kernel.Float] func(n *node) (compute[T], error)

// operator is what the engine adds to what onnxio.SupportedOp says of an operator.
type operator struct {
	name   string
	domain string // "", or onnxio.RanksDomain
	// inputs has one letter for each input that any version takes: f floating point,
	// n floating point or integer, i integer, b bool, v any value that can be held. A
	// final * lets the last one repeat.
	inputs string
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

// variadic reports whether the last input repeats.
func (op *operator) variadic() bool { return strings.HasSuffix(op.inputs, "*") }

// kind returns the letter of input i.
func (op *operator) kind(i int) byte { return op.inputs[min(i, op.slots()-1)] }

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
	op := registry[n.OpType]
	if op == nil || onnxio.CanonicalDomain(n.Domain) != op.domain {
		return nil, n.Errorf("the engine does not have this operator")
	}
	schema, err := onnxio.SupportedOp(n, versions[""])
	if err == nil {
		err = schema.CheckArity(n)
	}
	if err != nil {
		return nil, n.Wrap(err)
	}
	nn := &node{Node: n, version: schema.SinceVersion, opsets: versions, outer: outer}
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
	s := &step[T]{
		node: n, op: op, required: schema.MinInputs, compute: c, captured: nn.captured, leads: nn.leads,
		eitherLayout: nn.eitherLayout, conv: nn.conv,
	}
	s.follow, _ = nn.follow.(follower[T])
	s.bounds, _ = nn.bounds.(bounds[T])
	s.affine, _ = nn.affine.(affine[T])
	return s, nil
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
			return nil, s.node.Errorf("input %d (%q): %s is not supported here; want %s", i, s.node.Input(i), v.Type,
				kindNames[kind])
		}
	}
	for i := range s.required {
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
