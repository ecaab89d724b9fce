package onnxio

import "slices"

// scope holds the values that exist at one point of a graph, by name.
type scope struct {
	outer  *scope
	values map[string]bool
}

func (s *scope) has(name string) bool {
	return s != nil && (s.values[name] || s.outer.has(name))
}

// graph checks a graph whose nodes see the values of outer, nil for the
// model's own graph.
func (c *checker) graph(g *Graph, outer *scope, opsets map[string]int64) {
	if g.Name == "" {
		c.addf("the graph has no name")
	}
	c.utf8("graph name", g.Name)
	c.props("graph metadata", g.Metadata)

	s := &scope{outer, make(map[string]bool)}
	for _, v := range g.Inputs {
		c.valueInfo("input", v, outer == nil)
		if v.Name != "" && s.has(v.Name) {
			c.addf("input %q: the name is taken by another value", v.Name)
		}
		s.values[v.Name] = true
	}
	c.initializers(g, s)
	c.nodes(g.Nodes, s, opsets)
	for _, v := range g.Outputs {
		c.valueInfo("output", v, outer == nil)
		if v.Name != "" && !s.has(v.Name) {
			c.addf("output %q: no node, input or initializer makes it", v.Name)
		}
	}
	for _, v := range g.ValueInfos {
		c.valueInfo("value info", v, false)
	}
}

// valueInfo checks a declaration. The model's own inputs and outputs need a
// full one; elsewhere, inference fills in what is missing.
func (c *checker) valueInfo(what string, v *ValueInfo, full bool) {
	if v.Name == "" {
		c.addf("%s without a name", what)
	}
	c.utf8(what, v.Name)
	typ, other := v.Type, v.hasOtherType()
	switch _, known := dataTypes[typ.Elem]; {
	case other:
		return
	case !known:
		c.addf("%s %q: unknown element type %d", what, v.Name, int32(typ.Elem))
	case typ.Elem == Undefined && full:
		c.addf("%s %q: it has no type", what, v.Name)
	case !typ.HasShape && full:
		c.addf("%s %q: it has no shape; one with unknown dimensions would do", what, v.Name)
	}
	for i, d := range typ.Shape {
		if d.Value < -1 {
			c.addf("%s %q: dimension %d is %d", what, v.Name, i, d.Value)
		}
		c.utf8(what+" dimension", d.Param)
	}
}

// initializers checks the constants of g and adds them to s. From IR version 4
// on an initializer may share the name of an input, whose default it is; before,
// it has to.
func (c *checker) initializers(g *Graph, s *scope) {
	inputs := make(map[string]*ValueInfo, len(g.Inputs))
	for _, v := range g.Inputs {
		inputs[v.Name] = v
	}
	seen := make(map[string]bool)
	named := func(name string) {
		input := inputs[name]
		switch {
		case name == "":
			c.addf("initializer without a name")
		case seen[name]:
			c.addf("initializer %q: there are two of that name", name)
		case input == nil && s.has(name):
			c.addf("initializer %q: the name is taken by another value", name)
		case input == nil && c.model.IRVersion > 0 && c.model.IRVersion < 4:
			c.addf("initializer %q: IR version %d wants it among the graph's inputs too", name, c.model.IRVersion)
		}
		c.utf8("initializer", name)
		seen[name] = true
		s.values[name] = true
	}
	for _, t := range g.Initializers {
		named(t.Name)
		c.tensor("initializer", t)
		if v := inputs[t.Name]; v != nil {
			c.sameType(v, t)
		}
	}
	for _, sp := range g.SparseInitializers {
		if sp.Values != nil {
			named(sp.Values.Name)
		}
		c.sparse("sparse initializer", sp)
	}
}

// sameType checks an initializer against the input whose default value it is.
func (c *checker) sameType(v *ValueInfo, t *Tensor) {
	if v.Type.Elem != Undefined && v.Type.Elem != t.Type {
		c.addf("initializer %q: it is %s, the input of that name %s", t.Name, t.Type, v.Type.Elem)
	}
	if !v.Type.HasShape {
		return
	}
	same := slices.EqualFunc(v.Type.Shape, t.Dims, func(d Dim, n int64) bool { return !d.Known() || d.Value == n })
	if !same {
		c.addf("initializer %q: its dimensions are %v, those of the input of that name differ", t.Name, t.Dims)
	}
}
