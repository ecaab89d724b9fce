package onnxio

import (
	"fmt"
	"strings"
)

// nodes checks nodes in their order, each with the values that exist by then in
// s, and adds the values it makes.
func (c *checker) nodes(nodes []*Node, s *scope, opsets map[string]int64) {
	maker := make(map[string]int) // of a value, the node that makes it
	for i, n := range nodes {
		for _, name := range n.Outputs {
			if _, ok := maker[name]; !ok && name != "" {
				maker[name] = i
			}
		}
	}
	loop := cycles(nodes, maker)
	for i, n := range nodes {
		at := c.within(n.Wrap)
		if loop.first[i] != nil {
			at.addf("it is part of a cycle: %s", labels(nodes, loop.first[i]))
		}
		for _, name := range n.Inputs {
			j, made := maker[name]
			switch {
			case name == "" || s.has(name):
			case !made:
				at.addf("input %q: no node, input or initializer makes it", name)
			case !loop.together(i, j):
				at.addf("input %q is made by node %q, which comes later", name, nodes[j].Label())
			}
			at.utf8("input", name)
		}
		at.operator(n, opsets)
		at.attributes(n, s, opsets)
		for _, name := range n.Outputs {
			if name == "" {
				continue
			}
			if s.has(name) {
				at.addf("output %q: the name is taken by another value", name)
			}
			at.utf8("output", name)
			s.values[name] = true
		}
	}
}

// labels names some of the nodes.
func labels(nodes []*Node, which []int) string {
	const most = 8
	var names []string
	for _, i := range which[:min(len(which), most)] {
		names = append(names, nodes[i].Label())
	}
	if k := len(which) - most; k > 0 {
		names = append(names, fmt.Sprintf("and %d more", k))
	}
	return strings.Join(names, ", ")
}

// operator checks a node against its operator's signature.
func (c *checker) operator(n *Node, opsets map[string]int64) {
	c.utf8("name", n.Name)
	c.utf8("operator", n.OpType)
	c.props("metadata", n.Metadata)
	if n.OpType == "" {
		c.addf("it has no operator")
		return
	}
	if f := c.function(n); f != nil {
		c.call(n, f)
		return
	}
	domain := CanonicalDomain(n.Domain)
	opset, imported := opsets[domain]
	if !imported {
		c.addf("the operator set of domain %q is not imported", domain)
		return
	}
	if LatestOpset(domain) == 0 {
		return
	}
	schema, ok := LookupOp(domain, n.OpType, opset)
	switch {
	case !ok:
		c.addf("%w", unknownOp(n, opset))
		return
	case schema.Deprecated:
		c.addf("the operator is deprecated since operator set %d, and the model imports %d", schema.SinceVersion, opset)
	}
	c.signature(n, schema)
}

// signature checks the numbers of inputs and outputs and the attributes.
func (c *checker) signature(n *Node, s *OpSchema) {
	for _, err := range s.arityErrors(n) {
		c.addf("%w", err)
	}
	for _, a := range n.Attributes {
		switch known, ok := s.Attribute(a.Name); {
		case !ok:
			c.addf("unknown attribute %q", a.Name)
		case known.Type != a.Type:
			c.addf("attribute %q: want %s, got %s", a.Name, known.Type, a.Type)
		}
	}
	for _, a := range s.Attributes {
		if a.Required && n.Attr(a.Name) == nil {
			c.addf("attribute %q is missing", a.Name)
		}
	}
	if n.OpType == "BatchNormalization" && s.Domain == "" && s.SinceVersion >= 14 {
		c.normalization(n)
	}
	if n.OpType == "Constant" && s.Domain == "" && len(n.Attributes) != 1 {
		c.addf("%d values; want one", len(n.Attributes))
	}
}

// normalization checks how many outputs a BatchNormalization has: the statistics
// are those of training, and training has to have them.
func (c *checker) normalization(n *Node) {
	training, err := n.Int("training_mode", 0)
	if err != nil {
		return // the attribute's type has been said
	}
	outputs := len(n.Outputs)
	for outputs > 0 && n.Outputs[outputs-1] == "" {
		outputs--
	}
	switch {
	case training != 0 && outputs != 3:
		c.addf("%d outputs in training mode; want 3", outputs)
	case training == 0 && outputs != 1:
		c.addf("%d outputs outside training mode; want 1", outputs)
	}
}

func (c *checker) count(what string, got, low, high int) {
	switch {
	case high < 0 && got < low:
		c.addf("%d %s; want at least %d", got, what, low)
	case high >= 0 && low == high && got != low:
		c.addf("%d %s; want %d", got, what, low)
	case high >= 0 && (got < low || got > high):
		c.addf("%d %s; want %d to %d", got, what, low, high)
	}
}

// attributes checks what a node's attributes hold, down to their graphs.
func (c *checker) attributes(n *Node, s *scope, opsets map[string]int64) {
	seen := make(map[string]bool)
	for _, a := range n.Attributes {
		if a.Name == "" {
			c.addf("attribute without a name")
		}
		if seen[a.Name] {
			c.addf("attribute %q is there twice", a.Name)
		}
		seen[a.Name] = true
		c.utf8("attribute", a.Name)
		if a.RefName != "" && !c.params[a.RefName] {
			c.addf("attribute %q refers to %q, which is no attribute of a function that it is in", a.Name, a.RefName)
		}
		c.value(a)
		for _, g := range append(some(a.G), a.Graphs...) {
			c.subgraph(n, a, g)
			in := c.within(func(err error) error { return prefix(a.Name, err) })
			in.graph(g, s, opsets)
		}
	}
}

// value checks that the attribute holds what its type says.
func (c *checker) value(a *Attribute) {
	missing := false
	switch a.Type {
	case AttrTensor:
		missing = a.T == nil
	case AttrGraph:
		missing = a.G == nil
	case AttrSparseTensor:
		missing = a.Sparse == nil
	case AttrUndefined:
		missing = true
	}
	if missing && a.RefName == "" {
		c.addf("attribute %q has no value", a.Name)
	}
	for _, t := range append(some(a.T), a.Tensors...) {
		c.tensor("attribute "+a.Name+": tensor", t)
	}
	for _, s := range append(some(a.Sparse), a.Sparses...) {
		c.sparse("attribute "+a.Name+": sparse tensor", s)
	}
}

// subgraph checks the inputs and outputs of the graphs of If and Loop against
// the node's.
func (c *checker) subgraph(n *Node, a *Attribute, g *Graph) {
	if CanonicalDomain(n.Domain) != "" {
		return
	}
	switch n.OpType {
	case "If":
		c.ends(a.Name, g, 0, len(n.Outputs))
	case "Loop": // iteration number and condition, then the carried values
		c.ends(a.Name, g, max(len(n.Inputs), 2), len(n.Outputs)+1)
	}
}

// ends checks how many inputs and outputs the graph in an attribute has.
func (c *checker) ends(attribute string, g *Graph, inputs, outputs int) {
	if got := len(g.Inputs); got != inputs {
		c.addf("%s: the graph has %d inputs; want %d", attribute, got, inputs)
	}
	if got := len(g.Outputs); got != outputs {
		c.addf("%s: the graph has %d outputs; want %d", attribute, got, outputs)
	}
}
