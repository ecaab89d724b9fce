package onnxio

import (
	"errors"
	"fmt"
	"unicode/utf8"
)

// Check reports everything that is wrong with m by the rules of the ONNX IR
// specification (docs/IR.md) and the operators' signatures, joined with
// errors.Join; nil if nothing is. What concerns a node is a NodeError.
//
// Operators of domains that the ONNX project does not define, and that m has no
// function for, are not checked beyond their inputs and outputs. Types and
// shapes are for shape inference to check.
func (m *Model) Check() error {
	var found []error
	c := &checker{model: m, calls: make(map[funcKey]*Function), add: func(err error) { found = append(found, err) }}
	c.checkModel()
	return errors.Join(found...)
}

// checker is one place in a model: add reports something found there.
type checker struct {
	model  *Model
	calls  map[funcKey]*Function // the model's functions
	params map[string]bool       // attributes of the function this is in, nil outside one
	add    func(error)
}

func (c *checker) addf(format string, args ...any) { c.add(fmt.Errorf(format, args...)) }

// within returns a checker whose findings are prefixed by wrap.
func (c *checker) within(wrap func(error) error) *checker {
	in := *c
	in.add = func(err error) { c.add(wrap(err)) }
	return &in
}

func (c *checker) checkModel() {
	m := c.model
	switch newest := schemas().ir; {
	case m.IRVersion == 0:
		c.addf("the model has no ir_version")
	case m.IRVersion < 0 || m.IRVersion > newest:
		c.addf("IR version %d is not one of 1 to %d", m.IRVersion, newest)
	}
	if len(m.Opsets) == 0 {
		c.addf("the model imports no operator set")
	}
	c.opsets(m.Opsets)
	c.props("metadata", m.Metadata)
	c.utf8("producer name", m.ProducerName)
	c.utf8("domain", m.Domain)
	c.functions()
	if m.Graph == nil {
		c.addf("the model has no graph")
		return
	}
	c.graph(m.Graph, nil, imports(m.Opsets))
}

// opsets checks a list of imports.
func (c *checker) opsets(list []Opset) {
	seen := make(map[string]int64)
	for _, o := range list {
		domain := CanonicalDomain(o.Domain)
		if version, ok := seen[domain]; ok && version != o.Version { // the same again changes nothing
			c.addf("the operator set of domain %q is imported twice, in versions %d and %d", domain, version, o.Version)
		}
		seen[domain] = o.Version
		latest := LatestOpset(domain)
		switch {
		case o.Version < 1:
			c.addf("operator set %d of domain %q: versions start at 1", o.Version, domain)
		case latest > 0 && o.Version > latest:
			c.addf("operator set %d of domain %q is newer than %d, the newest known", o.Version, domain, latest)
		}
	}
}

// imports maps the domains of a list of imports to their versions.
func imports(list []Opset) map[string]int64 {
	versions := make(map[string]int64, len(list))
	for _, o := range list {
		versions[CanonicalDomain(o.Domain)] = o.Version
	}
	return versions
}

func (c *checker) props(what string, list []Prop) {
	seen := make(map[string]bool)
	for _, p := range list {
		if seen[p.Key] {
			c.addf("%s: key %q is there twice", what, p.Key)
		}
		seen[p.Key] = true
		c.utf8(what+" key", p.Key)
		c.utf8(fmt.Sprintf("%s %q", what, p.Key), p.Value)
	}
}

func (c *checker) utf8(what, s string) {
	if !utf8.ValidString(s) {
		c.addf("%s %q is not UTF-8", what, s)
	}
}
