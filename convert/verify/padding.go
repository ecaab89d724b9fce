package verify

import (
	"slices"

	"efcn/convert/record"
	"efcn/onnxio"
)

// withPadding returns the CNN as an eFCN that leaves out Pads has to be compared with
// it: an operator behind a Pad of which the eFCN has no value has that padding for
// its own, where this computes the same. Whether it does is worked out from the
// operators' pages, by carrying out the Pads along each axis; where it does not the
// operator stays as it is, and the check finds that the eFCN lacks the Pad.
func (s *structure) withPadding() (*net, error) {
	m := s.cnn.model.Clone()
	changed := false
	for i, node := range s.cnn.graph.Nodes {
		m.Graph.Nodes[i] = node
		if own := s.behindPads(node); own != nil {
			m.Graph.Nodes[i], changed = own, true
		}
	}
	if !changed {
		return s.cnn, nil
	}
	cnn, err := newNet(m)
	if err == nil {
		cnn.sparse, cnn.fromShapes = s.cnn.sparse, s.cnn.fromShapes
	}
	return cnn, err
}

// padded returns the CNN, as it is compared, with the padding that the eFCN has in
// the operators behind it.
func (c *comparison[T]) padded() (*net, error) {
	if c.record == nil {
		return c.cnn, nil
	}
	return newStructure(c.cnn, c.efcn, c.record, c.shapes, c.report).withPadding()
}

// behindPads returns an operator with the padding of the Pads in front of it that
// the eFCN leaves out, or nil.
func (s *structure) behindPads(node *onnxio.Node) *onnxio.Node {
	if operatorOf(node).absorbs == nil {
		return nil
	}
	var pads []*onnxio.Node // the last applied first
	name := node.Input(0)
	for p := s.cnn.Producer(name); operatorOf(p).fill != nil && s.held[name] == nil && !s.cnn.IsOutput(name) &&
		!s.isFactor(name); p = s.cnn.Producer(name) {
		pads, name = append(pads, p), p.Input(0)
	}
	in := s.shapes[name]
	if len(pads) == 0 || len(in) < 3 {
		return nil
	}
	lines := everything(in)
	var fills []float64
	for _, p := range slices.Backward(pads) {
		if a, err := padOf(s.cnn, p); err != nil || a.mode != "constant" {
			return nil
		}
		lists, err := padded(s, p, 0, s.shapes[p.Input(0)])
		if err != nil {
			return nil
		}
		for axis, list := range lists {
			for i, at := range list {
				if at != outside {
					list[i] = lines[axis][at]
				}
			}
			lines[axis] = list
		}
		fill, err := s.cnn.fill(p)
		if err != nil {
			return nil
		}
		fills = append(fills, float64(fill))
	}
	for axis := range 2 { // the batch and the channels
		if begin, end, ok := margins(lines[axis], in[axis]); !ok || begin != 0 || end != 0 {
			return nil
		}
	}
	return s.absorbing(node, name, lines[2:], in[2:], fills)
}

// isFactor reports whether the record names the operator that computes a value as a
// factor of a product, which is then checked as one.
func (s *structure) isFactor(value string) bool {
	return slices.ContainsFunc(s.record.Layers, func(l record.Layer) bool {
		return slices.ContainsFunc(l.Factors, func(f record.Factor) bool { return f.Output == value })
	})
}

// margins returns how many new elements a padded axis has at either end, if between
// them are all of its size old ones in their order.
func margins(line []int, size int) (begin, end int, ok bool) {
	for begin < len(line) && line[begin] == outside {
		begin++
	}
	if end = len(line) - begin - size; end < 0 {
		return 0, 0, false
	}
	for i, at := range line[begin:] {
		if i < size && at != i || i >= size && at != outside {
			return 0, 0, false
		}
	}
	return begin, end, true
}

// absorption is what becomes of Pads that an operator has for its own padding: name is the value
// before them; before are its windows on what they make, after those that see the same of
// name; lines are the elements that each axis has behind them, and fills what each puts in.
type absorption struct {
	name   string
	before *window
	after  []axis
	lines  [][]int
	fills  []float64
}

// absorbing returns the operator node on the value name, of spatial shape in, with
// what is new in lines for padding, if that is the same function.
func (s *structure) absorbing(node *onnxio.Node, name string, lines [][]int, in []int, fills []float64) *onnxio.Node {
	padded := make([]int, len(lines))
	for k, l := range lines {
		padded[k] = len(l)
	}
	op := operatorOf(node)
	before, err := op.window(s.cnn, node, padded)
	if err != nil || len(before.axes) != len(in) {
		return nil
	}
	after := slices.Clone(before.axes)
	pads := make([]int64, 2*len(in))
	for k := range after {
		begin, end, ok := margins(lines[k], in[k])
		if !ok {
			return nil
		}
		a := &after[k]
		a.in, a.padBegin, a.padEnd = in[k], a.padBegin+begin, a.padEnd+end
		pads[k], pads[len(in)+k] = int64(a.padBegin), int64(a.padEnd)
	}
	own := *node
	own.Inputs = slices.Clone(node.Inputs)
	own.Inputs[0] = name
	own.Attributes = []*onnxio.Attribute{onnxio.IntsAttr("pads", pads...)}
	for _, a := range node.Attributes {
		if a.Name != "pads" && a.Name != "auto_pad" {
			own.Attributes = append(own.Attributes, a)
		}
	}
	if !op.absorbs(s, &own, &absorption{name: name, before: before, after: after, lines: lines, fills: fills}) {
		return nil
	}
	// The length of the output follows from the pads, or the window at its end is
	// another one.
	resolved, err := op.window(s.cnn, &own, in)
	if err != nil || !slices.Equal(resolved.axes, after) {
		return nil
	}
	return &own
}

func all(list []float64, is func(float64) bool) bool {
	return !slices.ContainsFunc(list, func(v float64) bool { return !is(v) })
}

// absorbsZeros: a Conv pads with zeros.
func absorbsZeros(_ *structure, _ *onnxio.Node, p *absorption) bool {
	return all(p.fills, func(fill float64) bool { return fill == 0 })
}
