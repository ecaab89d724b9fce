package verify

import (
	"fmt"
	"maps"
	"slices"

	"efcn/onnxio"
)

// attributes compares the attributes of a kept node by what they mean: an axis
// from behind is the same as one from the front, a default may be written out or
// left out, windows are compared where they lie, and what is an attribute in one
// operator set may be an input in another.
func (s *structure) attributes(source, node *onnxio.Node) {
	a, err := s.cnn.meaning(source, s.rankOf(source))
	if err != nil {
		s.fault("attribute", source, source.Output(0), "%v", err)
		return
	}
	b, err := s.efcn.meaning(node, s.rankOf(source))
	if err != nil {
		s.fault("attribute", node, source.Output(0), "%v", err)
		return
	}
	same := s.sameWindows(source, node)
	lists := operatorOf(source).lists
	for _, name := range slices.Sorted(maps.Keys(merged(a, b))) {
		i, list := lists[name]
		if same && slices.Contains(windowAttributes, name) || list && !s.listed(source, node, i) {
			continue
		}
		if x, y := a[name], b[name]; x != y {
			s.fault("attribute", node, source.Output(0), "attribute %s is %s; in the CNN it is %s", name, orNotSet(y),
				orNotSet(x))
		}
	}
}

func merged(a, b map[string]string) map[string]string {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}

func orNotSet(text string) string {
	if text == "" {
		return "not set"
	}
	return text
}

// rankOf is the number of axes that the axes of a node count.
func (s *structure) rankOf(node *onnxio.Node) int {
	if operatorOf(node).axisOfOutput {
		return len(s.shapes[node.Output(0)])
	}
	return len(s.shapeOf(node.Input(0)))
}

// meaning writes out what the attributes of a node say, by name: those that it
// has, and the defaults of those that it lacks. An axis counts from the front.
func (n *net) meaning(node *onnxio.Node, rank int) (map[string]string, error) {
	op, texts := operatorOf(node), make(spelling)
	if op.defaults != nil {
		maps.Copy(texts, op.defaults(n.opset))
	}
	for _, a := range node.Attributes {
		texts[a.Name] = attributeText(a)
	}
	if onnxio.CanonicalDomain(node.Domain) != "" {
		return texts, nil
	}
	count := int64(rank)
	if axis, err := n.axis(node); err == nil && (node.Attr("axis") != nil || op.axis != nil) {
		if axis < 0 {
			axis += count
		}
		texts["axis"] = fmt.Sprint(axis)
	}
	if axes, err := node.Ints("axes"); err == nil && axes != nil {
		texts["axes"] = fmt.Sprint(fromFront(axes, count))
	}
	for name, i := range op.lists {
		var list []int64
		if given := node.Attr(name); given != nil && given.Type == onnxio.AttrInt { // k of a TopK
			list = []int64{given.I}
		} else if given != nil {
			list = given.Ints
		}
		if t := n.constants[node.Input(i)]; list == nil && t != nil {
			var err error
			if list, err = onnxio.Ints(t); err != nil {
				return nil, err
			}
		}
		if list == nil {
			continue
		}
		if name == "axes" {
			list = fromFront(list, count)
		}
		if op.anyOrder {
			slices.Sort(list)
		}
		texts[name] = fmt.Sprint(list)
	}
	return texts, nil
}

// axis returns the axis of a node as it counts it: its attribute, or the default.
func (n *net) axis(node *onnxio.Node) (int64, error) {
	def := int64(0)
	if op := operatorOf(node); op.axis != nil {
		def = op.axis(n.opset)
	}
	return node.Int("axis", def)
}

// fromFront counts axes from the front. Their order is kept: other lists follow
// it.
func fromFront(axes []int64, rank int64) []int64 {
	out := slices.Clone(axes)
	for i, a := range out {
		if a < 0 {
			out[i] += rank
		}
	}
	return out
}

// listed reports whether input i of two nodes is a list that their meanings speak for:
// an attribute in one of them, or axes. Others are compared as any constant is.
func (s *structure) listed(source, node *onnxio.Node, i int) bool {
	spelled := source.Input(i) == "" || node.Input(i) == "" || operatorOf(source).lists["axes"] == i
	return spelled && s.cnn.isList(source, i) && s.efcn.isList(node, i)
}

// isList reports whether input i of a node is one of its operator's lists and a constant or left
// out, so that meaning speaks for it.
func (n *net) isList(node *onnxio.Node, i int) bool {
	for _, at := range operatorOf(node).lists {
		if i == at {
			return node.Input(i) == "" || n.constants[node.Input(i)] != nil
		}
	}
	return false
}
