package onnxio

import "fmt"

// funcKey identifies a model-local function.
type funcKey struct{ domain, name, overload string }

func (f *Function) key() funcKey { return funcKey{CanonicalDomain(f.Domain), f.Name, f.Overload} }

// function returns the model-local function that n calls, nil if it calls none.
func (c *checker) function(n *Node) *Function {
	return c.calls[funcKey{CanonicalDomain(n.Domain), n.OpType, n.Overload}]
}

// prefix says in which part of something err is.
func prefix(part string, err error) error { return fmt.Errorf("%s: %w", part, err) }

// functions checks the model-local functions: each body as a graph of its own,
// and that none calls itself.
func (c *checker) functions() {
	for _, f := range c.model.Functions {
		if c.calls[f.key()] != nil {
			c.addf("function %q: there are two of that domain, name and overload", f.Name)
			continue
		}
		c.calls[f.key()] = f
	}
	visits := make(map[*Function]visit)
	for _, f := range c.model.Functions {
		c.within(func(err error) error { return prefix(fmt.Sprintf("function %q", f.Name), err) }).body(f)
		c.recursion(f, visits, 0)
	}
}

// visit is how far recursion has come with a function.
type visit int

const (
	unvisited visit = iota
	entered
	done
)

// maxCalls is how deep functions may call each other.
const maxCalls = 1000

// recursion follows the calls of f and reports those that lead back.
func (c *checker) recursion(f *Function, visits map[*Function]visit, depth int) {
	if visits[f] != unvisited {
		return
	}
	if depth > maxCalls {
		c.addf("function %q: calls nest deeper than %d", f.Name, maxCalls)
		return
	}
	visits[f] = entered
	w := walker{node: func(n *Node) {
		switch callee := c.function(n); {
		case callee == nil:
		case visits[callee] == entered:
			c.addf("function %q: it calls itself; the call of %q leads back", f.Name, callee.Name)
		default:
			c.recursion(callee, visits, depth+1)
		}
	}}
	w.nodes(f.Nodes)
	visits[f] = done
}

func (c *checker) body(f *Function) {
	if f.Name == "" {
		c.addf("it has no name")
	}
	c.utf8("name", f.Name)
	if len(f.Opsets) == 0 && len(f.Nodes) > 0 {
		c.addf("it imports no operator set")
	}
	c.opsets(f.Opsets)
	params := make(map[string]bool)
	param := func(name string) {
		if params[name] {
			c.addf("attribute %q is there twice", name)
		}
		params[name] = true
	}
	for _, name := range f.Attributes {
		param(name)
	}
	for _, a := range f.Defaults {
		param(a.Name)
		c.value(a)
	}
	s := &scope{nil, make(map[string]bool)}
	for _, name := range f.Inputs {
		if s.values[name] {
			c.addf("input %q: the name is taken by another value", name)
		}
		s.values[name] = true
	}
	in := *c
	in.params = params
	in.nodes(f.Nodes, s, imports(f.Opsets))
	for _, name := range f.Outputs {
		if !s.has(name) {
			c.addf("output %q: no node or input makes it", name)
		}
	}
}

// call checks a node that calls a function. An attribute that the node leaves
// out is left out in the function's body.
func (c *checker) call(n *Node, f *Function) {
	c.count("inputs", len(n.Inputs), 0, len(f.Inputs))
	c.count("outputs", len(n.Outputs), 0, len(f.Outputs))
	known := make(map[string]bool)
	for _, name := range f.Attributes {
		known[name] = true
	}
	for _, a := range f.Defaults {
		known[a.Name] = true
	}
	for _, a := range n.Attributes {
		if !known[a.Name] {
			c.addf("unknown attribute %q", a.Name)
		}
	}
}
