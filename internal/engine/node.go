package engine

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"efcn/onnxio"
)

// node is a node being made ready. Its methods read attributes and remember
// what went wrong, so that a builder reads all it needs in straight lines;
// whatever the builder did not ask for is unknown, and refused.
type node struct {
	*onnxio.Node
	version  int64 // of the operator's schema
	opsets   map[string]int64
	outer    scope
	captured []string // set by a builder that has subgraphs
	leads    bool     // set by a builder whose result asks exec.then
	follow   any      // set by a builder to the follower[T] that does the node's work in place
	// eitherLayout is set by a builder whose result takes values with their channels last.
	eitherLayout bool
	conv         *convNode // set by the builder of a Conv
	// bounds and affine are set by a builder whose node clips its first input, or
	// multiplies and adds a number a channel, to the bounds[T] and affine[T] that tell.
	bounds, affine any

	read []string
	errs []error
}

func read[V any](n *node, name string, get func() (V, error)) V {
	n.read = append(n.read, name)
	v, err := get()
	if err != nil {
		n.errs = append(n.errs, err)
	}
	return v
}

func (n *node) int(name string, def int64) int64 {
	return read(n, name, func() (int64, error) { return n.Int(name, def) })
}

// flag reads an integer that is 0 or 1.
func (n *node) flag(name string, def bool) bool {
	d := int64(0)
	if def {
		d = 1
	}
	v := n.int(name, d)
	if v != 0 && v != 1 {
		n.refuse("attribute %s: want 0 or 1, got %d", name, v)
	}
	return v == 1
}

func (n *node) float(name string, def float32) float64 {
	return float64(read(n, name, func() (float32, error) { return n.Float(name, def) }))
}

// string reads a string that must be one of a list; the first is the default.
func (n *node) string(name string, allowed ...string) string {
	s := read(n, name, func() (string, error) { return n.String(name, allowed[0]) })
	if !slices.Contains(allowed, s) {
		n.refuse("attribute %s: %q is not supported; want one of %q", name, s, allowed)
	}
	return s
}

func (n *node) ints(name string) []int64 {
	return read(n, name, func() ([]int64, error) { return n.Ints(name) })
}

func (n *node) floats(name string) []float32 {
	return read(n, name, func() ([]float32, error) { return n.Floats(name) })
}

func (n *node) tensor(name string) *onnxio.Tensor {
	return read(n, name, func() (*onnxio.Tensor, error) { return n.Tensor(name) })
}

// graph reads a subgraph, which must be there.
func (n *node) graph(name string) *onnxio.Graph {
	return read(n, name, func() (*onnxio.Graph, error) {
		a := n.Attr(name)
		if a == nil || a.Type != onnxio.AttrGraph || a.G == nil {
			return nil, fmt.Errorf("attribute %s: a graph is missing", name)
		}
		return a.G, nil
	})
}

// ignore marks attributes that don't change what inference computes.
func (n *node) ignore(names ...string) { n.read = append(n.read, names...) }

// has reports whether the node sets the attribute.
func (n *node) has(name string) bool { return n.Attr(name) != nil }

// need refuses a node that lacks an attribute without a default.
func (n *node) need(name string) {
	if !n.has(name) {
		n.refuse("attribute %s is missing", name)
	}
}

func (n *node) refuse(format string, args ...any) {
	n.errs = append(n.errs, fmt.Errorf(format, args...))
}

// dataType reads an element type that the engine can hold.
func (n *node) dataType(name string, def onnxio.DataType) onnxio.DataType {
	t := onnxio.DataType(n.int(name, int64(def)))
	if n.has(name) && !held(t) {
		n.refuse("attribute %s: %s is not supported; floating-point, integer and bool are", name, t)
	}
	return t
}

// refuseUnread refuses the attributes that the builder did not ask for.
func (n *node) refuseUnread() {
	for _, a := range n.Attributes {
		if !slices.Contains(n.read, a.Name) {
			n.refuse("attribute %s is unknown in version %d of the operator", onnxio.Printable(a.Name), n.version)
		}
	}
}

// attributeErrors returns what was wrong with the attributes.
func (n *node) attributeErrors() error {
	for _, a := range n.Attributes {
		if a.RefName != "" {
			n.refuse("attribute %s refers to %q, which only a function's node may", a.Name, a.RefName)
		}
	}
	if len(n.errs) == 0 {
		return nil
	}
	text := make([]string, len(n.errs))
	for i, err := range n.errs {
		text[i] = err.Error()
	}
	return errors.New(strings.Join(text, "; "))
}
