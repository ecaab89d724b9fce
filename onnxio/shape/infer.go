package shape

import (
	"errors"
	"fmt"
	"strings"

	"efcn/onnxio"
)

// Info is what is known of the values of a model's main graph.
type Info struct {
	opset          int64
	values         map[string]*value
	unknown        []*onnxio.Node
	contradictions []error
}

// Type returns the element type and shape of the value called name, and
// whether the graph has such a value. Elem is Undefined and HasShape false
// where nothing is known.
func (i *Info) Type(name string) (onnxio.TensorType, bool) {
	v, ok := i.values[name]
	if !ok {
		return onnxio.TensorType{}, false
	}
	t := onnxio.TensorType{Elem: v.elem, HasShape: v.ranked}
	if v.ranked {
		t.Shape = make(onnxio.Shape, len(v.dims))
		for k, d := range v.dims {
			t.Shape[k] = d.dim()
		}
	}
	return t, true
}

// Ints returns the content, row-major, of the integer or bool tensor called
// name if it is followed: constants, shapes and what is computed from them, up
// to 1024 elements. An element whose Param is empty is the number Value, which
// may be negative; otherwise Param is its symbolic name, or "?" if it has none.
func (i *Info) Ints(name string) ([]onnxio.Dim, bool) {
	v, ok := i.values[name]
	if !ok || v.ints == nil {
		return nil, false
	}
	out := make([]onnxio.Dim, len(v.ints))
	for k, n := range v.ints {
		if out[k] = n.dim(); n.known() {
			out[k] = onnxio.Dim{Value: n.coef}
		} else if out[k].Param == "" {
			out[k].Param = "?"
		}
	}
	return out, true
}

// IsSize reports whether element i of the integers called list is surely the size of
// an axis of the value called of.
func (i *Info) IsSize(list string, at int, of string, axis int) bool {
	v, w := i.values[list], i.values[of]
	return v != nil && w != nil && at < len(v.ints) && axis < len(w.dims) && v.ints[at].equal(w.dims[axis])
}

// Unknown lists the nodes that could not be followed, in graph order: operators
// and versions that this package does not know, and branches that depend on
// data. Their outputs are as the model declares them.
func (i *Info) Unknown() []*onnxio.Node { return i.unknown }

// Contradictions says which declared shapes were not looked at, because what is
// inferred of the value is another: errors about nodes, in graph order.
func (i *Info) Contradictions() []error { return i.contradictions }

// dim converts to the form that a model's types have.
func (n num) dim() onnxio.Dim {
	switch {
	case n.known() && n.coef >= 0:
		return onnxio.Fixed(n.coef)
	case n.coef == 1 && len(n.syms) == 1:
		return onnxio.Symbol(n.syms[0].name)
	default:
		return onnxio.Symbol("")
	}
}

// Options says how to infer. The zero value takes a model as it declares itself.
type Options struct {
	// Inputs overrides the declared shapes of inputs by name; the rank must be the
	// declared one, and -1 keeps a dimension as declared. A number given for a
	// symbolic dimension holds wherever the symbol occurs. Where one contradicts a
	// declared number, the shapes that the model declares for other values are not
	// looked at, since they belong to the other size.
	Inputs map[string][]int64
	// Evaluate computes the nodes whose inputs are known and that no rule of this
	// package follows. By default none does, and less of what is computed from
	// shapes is known.
	Evaluate Evaluator
}

// Infer returns the element type and shape of every value of m's main graph.
//
// A dimension called ?, None or -1 has no name: exporters write these for any
// that is open. At the front of an input they are all one, the batch.
//
// An error names the node and the value: a known operator whose inputs are
// impossible, or an inferred element type that contradicts the declared one. A
// declared shape that contradicts the inferred one is left out, as runtimes do:
// see [Info.Contradictions]. m is not modified.
func Infer(m *onnxio.Model, o Options) (*Info, error) {
	if m.Graph == nil {
		return nil, errors.New("the model has no graph")
	}
	s := &session{
		opset:     m.Opset(""),
		evaluator: o.Evaluate,
		symbols:   make(map[string]*symbol),
		bound:     make(map[string]int64),
		functions: make(map[string]bool, len(m.Functions)),
	}
	for _, f := range m.Functions {
		s.functions[onnxio.CanonicalDomain(f.Domain)+":"+f.Name] = true
	}
	feeds, err := s.overrideInputs(m.Graph, o.Inputs)
	if err != nil {
		return nil, err
	}
	sc, err := s.graph(m.Graph, feeds, nil)
	if err != nil {
		return nil, err
	}
	return &Info{opset: s.opset, values: sc.values, unknown: s.unknown, contradictions: s.contradictions}, nil
}

// session is the state of one Infer.
type session struct {
	opset     int64
	evaluator Evaluator
	functions map[string]bool // model-local functions, domain:name
	lastID    int
	symbols   map[string]*symbol
	bound     map[string]int64 // numbers that overridden inputs give to symbols
	stale     bool             // declared shapes are of other input shapes, or wrong
	roundedUp bool             // a pooling with ceil_mode has been seen
	depth     int              // of nested subgraphs
	// contradictions are the declared shapes that are wrong.
	contradictions []error
	unknown        []*onnxio.Node
}

// scope holds the values of one graph.
type scope struct {
	values map[string]*value
	outer  *scope
}

func (s *scope) find(name string) (*value, bool) {
	for ; s != nil; s = s.outer {
		if v, ok := s.values[name]; ok {
			return v, true
		}
	}
	return nil, false
}

func (s *session) fresh(name string, size bool) num {
	s.lastID++
	return num{1, []*symbol{{id: s.lastID, name: name, size: size}}}
}

// unknownDim returns a dimension that nothing is known of.
func (s *session) unknownDim() num { return s.fresh("", true) }

// unknownInt returns an integer that nothing is known of, not even its sign.
func (s *session) unknownInt() num { return s.fresh("", false) }

func (s *session) unknownDims(n int) []num {
	out := make([]num, n)
	for i := range out {
		out[i] = s.unknownDim()
	}
	return out
}

// nameless reports whether an exporter wrote the name of a dimension for any that
// is open: PaddlePaddle has four different ones called ? in one shape.
func nameless(param string) bool {
	switch strings.TrimSpace(param) {
	case "", "?", "-1", "None":
		return true
	}
	return false
}

// dim converts a declared dimension.
func (s *session) dim(d onnxio.Dim) num {
	if d.Known() {
		return fixed(d.Value)
	}
	if nameless(d.Param) {
		return s.unknownDim()
	}
	return s.symbol(d)
}

// symbol returns the dimension of a name.
func (s *session) symbol(d onnxio.Dim) num {
	if v, ok := s.bound[d.Param]; ok {
		return fixed(v)
	}
	if _, ok := s.symbols[d.Param]; !ok {
		s.symbols[d.Param] = s.fresh(d.Param, true).syms[0]
	}
	return num{1, []*symbol{s.symbols[d.Param]}}
}

func (s *session) declared(t onnxio.TensorType) *value {
	if !t.HasShape {
		return unshaped(t.Elem)
	}
	dims := make([]num, len(t.Shape))
	for i, d := range t.Shape {
		dims[i] = s.dim(d)
	}
	return shaped(t.Elem, dims)
}

// graph infers the values of g, whose inputs are feeds.
func (s *session) graph(g *onnxio.Graph, feeds map[string]*value, outer *scope) (*scope, error) {
	sc := &scope{values: make(map[string]*value, len(g.Nodes)+len(g.Initializers)), outer: outer}
	declared := make(map[string]onnxio.TensorType, len(g.ValueInfos)+len(g.Outputs))
	for _, list := range [][]*onnxio.ValueInfo{g.ValueInfos, g.Outputs} {
		for _, v := range list {
			declared[v.Name] = v.Type
		}
	}
	for name, v := range feeds {
		sc.values[name] = v
	}
	if err := s.constants(g, sc); err != nil {
		return nil, err
	}
	for _, n := range g.Nodes {
		outputs, err := s.node(n, sc)
		if err != nil {
			return nil, wrap(n, err)
		}
		s.roundedUp = s.roundedUp || roundsUp(n)
		for i, name := range n.Outputs {
			if name == "" {
				continue
			}
			v := unshaped(onnxio.Undefined)
			if i < len(outputs) && outputs[i] != nil {
				v = outputs[i]
			}
			if t, ok := declared[name]; ok {
				merged, err := s.merge(name, v, t)
				if err != nil && s.roundedUp {
					// Inference of versions before 22 counts a last window that starts in the
					// end padding, which every runtime drops; exporters declare what it says of
					// the pooling and of all that follows.
					s.stale = true
					merged, err = s.merge(name, v, t)
				}
				var wrong *shapeError
				switch {
				case errors.As(err, &wrong):
					s.contradictions = append(s.contradictions, n.Wrap(err))
				case err != nil:
					return nil, n.Wrap(err)
				default:
					v = merged
				}
			}
			if sizes, ok := v.sizes(); ok {
				if _, err := onnxio.NumElements(sizes); err != nil {
					return nil, n.Errorf("output %q of shape %v: %w", name, v, err)
				}
			}
			sc.values[name] = v
		}
	}
	return sc, nil
}

// roundsUp reports whether a node is a pooling with ceil_mode.
func roundsUp(n *onnxio.Node) bool {
	ceil, err := n.Int("ceil_mode", 0)
	return err == nil && ceil == 1
}

// wrap names the node in err unless err names one already.
func wrap(n *onnxio.Node, err error) error {
	var named *onnxio.NodeError
	if errors.As(err, &named) {
		return err
	}
	return n.Wrap(err)
}

// node infers the outputs of one node.
func (s *session) node(n *onnxio.Node, sc *scope) ([]*value, error) {
	in := make([]*value, len(n.Inputs))
	for i, name := range n.Inputs {
		if name == "" {
			continue
		}
		v, ok := sc.find(name)
		if !ok {
			return nil, fmt.Errorf("input %q is computed by no node before this one", name)
		}
		in[i] = v
	}
	o, schema, ok := lookup(n, s.opset)
	if !ok || s.functions[onnxio.CanonicalDomain(n.Domain)+":"+n.OpType] {
		s.unknown = append(s.unknown, n)
		return nil, nil
	}
	c := &call{Node: n, opset: s.opset, in: in, s: s, scope: sc}
	if err := schema.CheckArity(n); err != nil {
		return nil, err
	}
	for len(c.in) < schema.MostInputs {
		c.in = append(c.in, nil)
	}
	if o.real && c.in[0].elem != onnxio.Undefined && !c.in[0].elem.IsFloat() {
		return nil, fmt.Errorf("input %q is %s; want a floating-point type", c.Input(0), c.in[0].elem)
	}
	out, err := o.rule(c)
	if err != nil {
		return nil, err
	}
	return c.evaluate(out)
}

// constants adds the initializers of g to sc.
func (s *session) constants(g *onnxio.Graph, sc *scope) error {
	for _, t := range g.Initializers {
		v, err := constant(t)
		if err != nil {
			return fmt.Errorf("initializer %q: %w", t.Name, err)
		}
		sc.values[t.Name] = v
	}
	for _, t := range g.SparseInitializers {
		if t.Values == nil {
			continue
		}
		v, err := constantShape(t.Values.Type, t.Dims)
		if err != nil {
			return fmt.Errorf("sparse initializer %q: %w", t.Values.Name, err)
		}
		sc.values[t.Values.Name] = v
	}
	return nil
}

// constant returns what is known of a constant tensor. Small integer content
// is read; small floating-point content is read where an operator asks for it.
func constant(t *onnxio.Tensor) (*value, error) {
	v, err := constantShape(t.Type, t.Dims)
	if err != nil {
		return nil, err
	}
	if t.Data == nil || !small(v.dims) {
		return v, nil
	}
	v.tensor = t
	if followed(t.Type) {
		list, err := onnxio.Ints(t)
		if err != nil {
			return nil, err
		}
		v.ints = nums(list)
	}
	return v, nil
}

// followed reports whether the content of tensors of that type is followed.
func followed(elem onnxio.DataType) bool {
	switch elem {
	case onnxio.Int64, onnxio.Int32, onnxio.Int16, onnxio.Int8, onnxio.Uint32, onnxio.Uint16, onnxio.Uint8, onnxio.Bool:
		return true
	default: // uint64 has numbers that int64 does not
		return false
	}
}

func constantShape(elem onnxio.DataType, dims []int64) (*value, error) {
	if _, err := onnxio.NumElements(dims); err != nil {
		return nil, err
	}
	return shaped(elem, nums(dims)), nil
}
