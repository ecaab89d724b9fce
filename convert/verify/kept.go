package verify

import (
	"fmt"
	"slices"

	"efcn/onnxio"
)

// kept checks a node that the eFCN has as the CNN had it, on vectors or on
// tensors: operator, attributes, inputs, constants.
func (s *structure) kept(source, node *onnxio.Node) {
	if source.QualifiedOp() != node.QualifiedOp() {
		s.fault("node", source, source.Output(0), "the eFCN computes it with node %q (%s)", node.Label(), node.QualifiedOp())
		return
	}
	s.attributes(source, node)
	for i := range max(len(source.Inputs), len(node.Inputs)) {
		a, b := source.Input(i), node.Input(i)
		switch {
		case a == "" && b == "":
		case a == "" || b == "":
			kind := "node"
			if i == 2 && isOp(source, "Gemm", "Conv") {
				kind = "bias"
			}
			s.fault(kind, node, source.Output(0), "input %d is %q; in the CNN it is %q", i, b, a)
		case s.cnn.constants[a] != nil || s.efcn.constants[b] != nil:
			s.constant(source, node, i)
		default:
			s.wire(source, node, i, i)
		}
	}
}

// axisOnVectors are operators whose axis attribute says something else on
// vectors than on tensors. Running both models checks it.
func axisOnVectors(node *onnxio.Node) bool {
	return isOp(node, "Softmax", "LogSoftmax", "Hardmax")
}

// attributes compares the attributes of a kept node.
func (s *structure) attributes(source, node *onnxio.Node) {
	same := s.sameWindows(source, node)
	for _, name := range attributeNames(source, node) {
		if name == "axis" && axisOnVectors(source) || same && (name == "pads" || name == "ceil_mode") {
			continue
		}
		if a, b := attributeText(source.Attr(name)), attributeText(node.Attr(name)); a != b {
			s.fault("attribute", node, source.Output(0), "attribute %s is %s; in the CNN it is %s", name, b, a)
		}
	}
}

// attributeNames lists the attributes that one of the nodes has.
func attributeNames(nodes ...*onnxio.Node) []string {
	var names []string
	for _, n := range nodes {
		for _, a := range n.Attributes {
			if !slices.Contains(names, a.Name) {
				names = append(names, a.Name)
			}
		}
	}
	return names
}

// sameWindows says whether two poolings see the same inputs through the same
// taps, however their attributes say where the last window ends: with ceil_mode,
// or with more padding at the end. Padding does not count for a maximum, nor for
// an average that leaves it out.
func (s *structure) sameWindows(source, node *onnxio.Node) bool {
	in := s.shapes[source.Input(0)]
	if !isOp(source, "MaxPool", "AveragePool") || len(in) < 3 {
		return false
	}
	if include, err := source.Int("count_include_pad", 0); err != nil || include != 0 {
		return false
	}
	a, errA := axesOf(source, in[2:], nil)
	b, errB := axesOf(node, in[2:], nil)
	if errA != nil || errB != nil || len(a) != len(b) {
		return false
	}
	for i := range a {
		a[i].padEnd, b[i].padEnd = 0, 0 // tap does not ask for it
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// attributeText writes an attribute's value so that different values read
// differently.
func attributeText(a *onnxio.Attribute) string {
	switch {
	case a == nil:
		return "not set"
	case a.Type == onnxio.AttrFloat:
		return fmt.Sprint(a.F)
	case a.Type == onnxio.AttrInt:
		return fmt.Sprint(a.I)
	case a.Type == onnxio.AttrString:
		return fmt.Sprintf("%q", a.S)
	case a.Type == onnxio.AttrFloats:
		return fmt.Sprint(a.Floats)
	case a.Type == onnxio.AttrInts:
		return fmt.Sprint(a.Ints)
	case a.Type == onnxio.AttrStrings:
		return fmt.Sprintf("%q", a.Strings)
	default:
		return a.Type.String()
	}
}
