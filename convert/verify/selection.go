package verify

import (
	"slices"

	"efcn/onnxio"
)

// outside marks an element that is none of the data's, in a selection.
const outside = -1

// identity returns the first place where a selection moves something, or −1 if
// it is all of the n elements in their order.
func identity(from []int, n int) int {
	for i, f := range from {
		if i != f {
			return i
		}
	}
	if len(from) != n {
		return len(from)
	}
	return -1
}

// selected checks what became of output k of a selecting node: a Gather of the
// vector, or nothing where no element moves.
func (s *structure) selected(node *onnxio.Node, k int) {
	value := node.Output(k)
	held := s.held[value]
	from, err := s.selection(node, k)
	if err != nil {
		s.fault("node", node, value, "%v", err)
		return
	}
	size, joins := 0, operatorOf(node).joins
	for i, name := range node.Inputs {
		if i == 0 || joins {
			size += product(s.shapeOf(name)[1:])
		}
	}
	switch {
	case held == nil || s.efcn.passes(held):
		if i := identity(from, size); i >= 0 {
			s.fault("node", node, value,
				"the eFCN leaves it out, though element %d of its output is not that of its input", i)
		}
		return
	case joins && isOp(held, "Concat"):
		if i := identity(from, size); i >= 0 {
			s.fault("node", node, value, "the eFCN joins vectors, which is not the same from element %d on", i)
		}
		s.expected[held] = true
		s.joined(node, held)
		return
	case !isOp(held, "Gather"):
		s.fault("node", node, value, "the eFCN computes it with node %q (%s); want Gather", held.Label(),
			held.QualifiedOp())
		return
	}
	s.expected[held] = true
	if axis, err := held.Int("axis", 0); err != nil || axis != 1 {
		s.fault("attribute", held, value, "attribute axis: want 1, got %d (%v)", axis, err)
	}
	before := s.efcn.Producer(s.efcn.origin(held.Input(0)))
	switch {
	case joins:
		if !isOp(before, "Concat") {
			s.fault("node", held, value, "what it gathers is no Concat")
			return
		}
		s.expected[before] = true
		s.joined(node, before)
	case slices.Contains(from, outside):
		s.extended(node, held, before, size)
		for i, f := range from {
			if f == outside {
				from[i] = size
			}
		}
	default:
		s.wire(node, held, 0, 0)
	}
	s.indices(held, value, from)
}

// indices compares the indices of a Gather.
func (s *structure) indices(held *onnxio.Node, value string, from []int) {
	t := s.efcn.constants[held.Input(1)]
	if t == nil {
		s.fault("index", held, value, "its indices %q are no constant", held.Input(1))
		return
	}
	got, err := onnxio.Ints(t)
	if err != nil || len(got) != len(from) {
		s.fault("index", held, value, "want %d indices, got %d (%v)", len(from), len(got), err)
		return
	}
	s.compared += int64(len(got))
	for i, want := range from {
		if got[i] != int64(want) {
			s.fault("index", held, value, "index of output %v (element %d of %q): want %d, got %d",
				unravel(i, s.shapes[value][1:]), i, t.Name, want, got[i])
			return
		}
	}
}

// joined checks a Concat of vectors.
func (s *structure) joined(node, held *onnxio.Node) {
	if axis, err := held.Int("axis", 0); err != nil || axis != 1 {
		s.fault("attribute", held, node.Output(0), "attribute axis: want 1, got %d (%v)", axis, err)
	}
	if len(held.Inputs) != len(node.Inputs) {
		s.fault("node", held, node.Output(0), "it joins %d values; in the CNN %d", len(held.Inputs), len(node.Inputs))
		return
	}
	for i := range node.Inputs {
		if a, b := node.Input(i), held.Input(i); s.cnn.known(a) && s.efcn.known(b) {
			s.sameContent(held, node.Output(0), a, b, flattened)
		} else {
			s.wire(node, held, i, i)
		}
	}
}

// extended checks the Pad that puts one element behind a vector, for a Gather to
// read where the CNN's Pad puts in its constant.
func (s *structure) extended(node, held, pad *onnxio.Node, size int) {
	if !isOp(pad, "Pad") {
		s.fault("node", held, node.Output(0), "its indices go past the vector, which no Pad makes longer")
		return
	}
	s.expected[pad] = true
	s.wire(node, pad, 0, 0)
	p, err := padOf(s.efcn, pad)
	if p.mode != "constant" {
		s.fault("attribute", pad, node.Output(0), "attribute mode: want constant, got %q (%v)", p.mode, err)
	}
	if !p.puts([]int64{0, 0, 0, 1}) {
		s.fault("attribute", pad, node.Output(0), "pads: want one element behind the %d of the vector, got %v (%v)",
			size, p.pads, err)
	}
	want, err := s.cnn.fill(node)
	if err != nil {
		s.fault("node", node, node.Output(0), "%v", err)
		return
	}
	if got, err := s.efcn.fill(pad); err != nil || hexOf(got) != hexOf(want) {
		s.fault("entry", pad, node.Output(0), "it pads with %s; in the CNN with %s (%v)", hexOf(got), hexOf(want), err)
	}
}

// shapeOf returns the shape of a value of the CNN on one sample, or of a constant.
func (s *structure) shapeOf(name string) []int {
	shape, ok := s.shapes[name]
	if t := s.cnn.constants[name]; !ok && t != nil {
		for _, d := range t.Dims {
			shape = append(shape, int(d))
		}
	}
	return shape
}
