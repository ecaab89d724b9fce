package verify

import (
	"math"
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
		cnn.sparse = s.cnn.sparse
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
	if !isOp(node, "Conv", "AveragePool", "MaxPool") {
		return nil
	}
	var pads []*onnxio.Node // the last applied first
	name := node.Input(0)
	for p := s.cnn.producer[name]; isOp(p, "Pad") && s.held[name] == nil && !s.cnn.outputs[name] && !s.isFactor(name); p = s.cnn.producer[name] {
		pads, name = append(pads, p), p.Input(0)
	}
	in := s.shapes[name]
	if len(pads) == 0 || len(in) < 3 {
		return nil
	}
	lines := everything(in)
	var fills []float64
	for _, p := range slices.Backward(pads) {
		mode, err := p.String("mode", "constant")
		if err != nil || mode != "constant" {
			return nil
		}
		lists, err := s.padded(p, s.shapes[p.Input(0)])
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

// isFactor says whether the record names the operator that computes a value as a
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

// absorbing returns the operator node on the value name, of spatial shape in, with
// what is new in lines for padding, if that is the same function.
func (s *structure) absorbing(node *onnxio.Node, name string, lines [][]int, in []int, fills []float64) *onnxio.Node {
	padded := make([]int, len(lines))
	for k, l := range lines {
		padded[k] = len(l)
	}
	var kernel []int64
	if isOp(node, "Conv") {
		w := s.cnn.constants[node.Input(1)]
		if w == nil || len(w.Dims) != len(in)+2 {
			return nil
		}
		kernel = w.Dims[2:]
	}
	before, err := axesOf(node, padded, kernel)
	if err != nil || len(before) != len(in) {
		return nil
	}
	after := slices.Clone(before)
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
		if a.Name != "pads" && a.Name != "auto_pad" && (a.Name != "count_include_pad" || !isOp(node, "AveragePool")) {
			own.Attributes = append(own.Attributes, a)
		}
	}
	zero := func(fill float64) bool { return fill == 0 }
	switch node.OpType {
	case "MaxPool":
		if !s.sameMaxima(name, before, after, lines, fills) || s.cnn.used(node.Output(1)) {
			return nil
		}
	case "AveragePool":
		include, err := node.Int("count_include_pad", 0)
		if err != nil || !sameCounts(before, after, include != 0) || !all(fills, zero) {
			return nil
		}
		own.Attributes = append(own.Attributes, onnxio.IntAttr("count_include_pad", 1))
	default:
		if !all(fills, zero) {
			return nil
		}
	}
	// The length of the output follows from the pads, or the window at its end is
	// another one.
	resolved, err := axesOf(&own, in, kernel)
	if err != nil || !slices.Equal(resolved, after) {
		return nil
	}
	return &own
}

// sameMaxima says whether the maxima over windows of a padded value are those over
// the elements of the value alone: each window sees one of them, and none is smaller
// than what it is padded with.
func (s *structure) sameMaxima(name string, before, after []axis, lines [][]int, fills []float64) bool {
	lowest := func(fill float64) bool {
		return math.IsInf(fill, -1) || fill <= 0 && s.notNegative(name)
	}
	if !all(fills, lowest) {
		return false
	}
	for k, a := range before {
		for p := range a.out {
			sees := false
			for q, at := range lines[k] {
				seen := a.tap(p, q) >= 0
				sees = sees || seen && at != outside
				if at != outside && seen != (after[k].tap(p, at) >= 0) {
					return false
				}
			}
			if !sees {
				return false
			}
		}
	}
	return true
}

// sameCounts says whether averages divide by as many elements of the padded value,
// or with include of what that is padded with as well, as they do where all padding
// is the operator's own and counts.
func sameCounts(before, after []axis, include bool) bool {
	for k, a := range before {
		lo, hi := 0, a.in
		if include {
			lo, hi = -a.padBegin, a.in+a.padEnd
		}
		for p := range a.out {
			if a.inside(p, lo, hi) != after[k].inside(p, -after[k].padBegin, after[k].in+after[k].padEnd) {
				return false
			}
		}
	}
	return true
}

func all(list []float64, is func(float64) bool) bool {
	return !slices.ContainsFunc(list, func(v float64) bool { return !is(v) })
}
