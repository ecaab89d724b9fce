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
		s.fault("node", source, source.Output(0), "the eFCN computes it with node %q (%s)", node.Label(),
			node.QualifiedOp())
		return
	}
	s.attributes(source, node)
	for i := range max(len(source.Inputs), len(node.Inputs)) {
		a, b := source.Input(i), node.Input(i)
		switch {
		case a == "" && b == "":
		case s.listed(source, node, i):
			// attributes compares it
		case a == "" || b == "":
			kind := "node"
			if i > 0 && i == operatorOf(source).bias {
				kind = "bias"
			}
			s.fault(kind, node, source.Output(0), "input %d is %q; in the CNN it is %q", i, b, a)
		case s.cnn.known(a) || s.efcn.known(b):
			s.constant(source, node, i)
		default:
			s.wire(source, node, i, i)
			s.shaped(source, node, i)
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

// windowAttributes say where the windows of a convolution or pooling lie.
var windowAttributes = []string{
	"auto_pad", "kernel_shape", "strides", "dilations", "pads", "ceil_mode",
	"output_padding", "output_shape",
}

// sameWindows reports whether two convolutions or poolings see the same inputs
// through the same taps, however their attributes say so: with auto_pad or pads, a
// stride of one or none, and where the last window ends with ceil_mode or more
// padding at the end. Padding does not count for a maximum, nor for an average
// that leaves it out.
func (s *structure) sameWindows(source, node *onnxio.Node) bool {
	in, op := s.shapes[source.Input(0)], operatorOf(source)
	if op.window == nil || len(in) < 3 {
		return false
	}
	v, errV := op.window(s.cnn, source, in[2:])
	w, errW := op.window(s.efcn, node, in[2:])
	if errV != nil || errW != nil || len(v.axes) != len(w.axes) {
		return false
	}
	a, b := v.axes, w.axes
	for i := range a {
		if !v.includePad {
			a[i].padEnd, b[i].padEnd = 0, 0 // tap does not ask for it
		}
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
