package shape

import (
	"fmt"

	"efcn/onnxio"
)

// rule infers the outputs of one node: one value for each output that the
// operator has, of which the node may name fewer. A nil value, or one missing
// at the end, is unknown. Its error needs no node; Infer adds it.
type rule func(c *call) ([]*value, error)

// op is what this package adds to what onnxio.SupportedOp says of an operator.
type op struct {
	rule rule
	real bool // asks for a floating-point type of input 0
	// moves reports whether the operator only puts the elements of input i elsewhere,
	// which then may be unknown; the element 0 may appear besides. Nil: of none.
	moves func(c *call, i int) bool
	// weighted says that it multiplies by weights, and so has the batch in front.
	weighted bool
}

// operators is filled while the program starts and only read after that.
var operators = map[string]op{}

func register(name string, o op) {
	if _, ok := operators[name]; ok {
		panic("shape: operator registered twice: " + name)
	}
	operators[name] = o
}

// lookup returns the rule and the signature of a node's operator, or false if this
// package has none, or not in the version that the model imports.
func lookup(n *onnxio.Node, opset int64) (op, *onnxio.OpSchema, bool) {
	schema, err := onnxio.SupportedOp(n, opset)
	if err != nil {
		return op{}, nil, false
	}
	o, ok := operators[n.OpType]
	return o, schema, ok
}

// first and every are what operators move that rearrange their first input, or join
// their inputs.
func first(_ *call, i int) bool { return i == 0 }

func every(*call, int) bool { return true }

// call is one node and what is known of its inputs.
type call struct {
	*onnxio.Node
	opset int64
	in    []*value // nil where an optional input is left out; at least as many as any version of the operator takes
	s     *session
	scope *scope // where the subgraphs of the node find outer values
}

// wantRank returns an error if input i is known to have another rank.
func (c *call) wantRank(i, rank int) error {
	if v := c.in[i]; v != nil && v.ranked && v.rank() != rank {
		return fmt.Errorf("input %q has shape %v; want rank %d", c.Input(i), v, rank)
	}
	return nil
}

// wantInteger returns an error if input i is known to be no integer tensor.
func (c *call) wantInteger(i int) error {
	if v := c.in[i]; v != nil && v.elem != onnxio.Undefined && !v.elem.IsInteger() {
		return fmt.Errorf("input %q is %s; want integers", c.Input(i), v.elem)
	}
	return nil
}

// sameElem returns the element type that the listed inputs share, Undefined if
// none is known.
func (c *call) sameElem(inputs ...int) (onnxio.DataType, error) {
	elem, first := onnxio.Undefined, 0
	for _, i := range inputs {
		v := c.in[i]
		switch {
		case v == nil || v.elem == onnxio.Undefined:
		case elem == onnxio.Undefined:
			elem, first = v.elem, i
		case elem != v.elem:
			return elem, fmt.Errorf("input %q is %s and input %q is %s; they must have one type",
				c.Input(first), elem, c.Input(i), v.elem)
		}
	}
	return elem, nil
}

// elemOfAll returns the element type that all inputs share, and their numbers. None may
// be left out.
func (c *call) elemOfAll() (elem onnxio.DataType, all []int, err error) {
	for i, v := range c.in {
		if v == nil {
			return elem, nil, fmt.Errorf("input %d is left out; every one must be there", i)
		}
		all = append(all, i)
	}
	elem, err = c.sameElem(all...)
	return elem, all, err
}

// bool returns an integer attribute that holds 0 or 1.
func (c *call) bool(name string, def bool) (bool, error) {
	d := int64(0)
	if def {
		d = 1
	}
	v, err := c.Int(name, d)
	if err == nil && v != 0 && v != 1 {
		err = fmt.Errorf("attribute %s is %d; want 0 or 1", name, v)
	}
	return v == 1, err
}

// axis resolves an axis that may count from the end.
func axis(a int64, rank int) (int, error) {
	r := int64(rank)
	if a < -r || a >= r {
		return 0, fmt.Errorf("axis %d is out of range for rank %d", a, rank)
	}
	if a < 0 {
		a += r
	}
	return int(a), nil
}

// axisOf resolves an axis of input i, whose rank is known.
func (c *call) axisOf(i int, a int64) (int, error) {
	at, err := axis(a, c.in[i].rank())
	if err != nil {
		err = fmt.Errorf("input %q of shape %v: %w", c.Input(i), c.in[i], err)
	}
	return at, err
}

// axes resolves a list of axes and refuses one that comes twice.
func axes(list []int64, rank int) ([]int, error) {
	out := make([]int, len(list))
	seen := make(map[int]bool, len(list))
	for i, a := range list {
		k, err := axis(a, rank)
		if err != nil {
			return nil, err
		}
		if seen[k] {
			return nil, fmt.Errorf("axis %d comes twice in axes %v", a, list)
		}
		seen[k] = true
		out[i] = k
	}
	return out, nil
}

// listArg returns a list of integers that old versions of an operator take as
// the attribute name and those from opset since on as input i. given is false if
// it is not there at all; list is nil with known false if its content is not known.
func (c *call) listArg(name string, i int, since int64) (list []int64, given, known bool, err error) {
	if c.opset < since {
		list, err = c.Ints(name)
		return list, list != nil, true, err
	}
	v := c.in[i]
	if v == nil {
		return nil, false, true, nil
	}
	if err := c.wantInteger(i); err != nil {
		return nil, true, false, err
	}
	list, known = v.constants()
	return list, true, known, nil
}
