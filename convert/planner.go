package convert

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"efcn/convert/affine"
	"efcn/convert/record"
	"efcn/internal/constants"
	"efcn/onnxio"
	"efcn/onnxio/shape"
)

// keepError is how an operator says that a node cannot be embedded but may
// stay as it is, on tensors.
type keepError struct {
	why  string
	open bool // a shape is not known, which fixing the input's would change
}

func (e *keepError) Error() string { return e.why }

// keep returns an error that leaves the node on tensors and is reported.
func keep(format string, args ...any) error {
	return &keepError{why: fmt.Sprintf(format, args...)}
}

// planner is the state of one NewPlan, which operators read and add to.
type planner struct {
	plan *Plan
	opts Options

	links  *onnxio.Links
	names  *onnxio.Names
	consts map[string]*onnxio.Tensor
	known  map[*onnxio.Node]bool // nodes whose outputs are all constants
}

func newPlanner(m *onnxio.Model, info *shape.Info, o Options) *planner {
	links := m.Graph.Links()
	pl := &planner{
		plan: &Plan{
			model: m, info: info, links: links, purpose: o.For, MaxBytes: o.MaxBytes,
			added: make(map[string]onnxio.TensorType), known: make(map[string]*onnxio.Tensor),
		},
		opts: o, links: links, names: m.Graph.Names(),
		consts: make(map[string]*onnxio.Tensor), known: make(map[*onnxio.Node]bool),
	}
	if pl.plan.MaxBytes == 0 {
		pl.plan.MaxBytes = record.DefaultMaxBytes
	}
	for _, t := range m.Graph.Initializers {
		pl.consts[t.Name] = t
	}
	pl.findKnown(m.Graph.Nodes)
	return pl
}

// findKnown makes constants of what follows from the shapes of the model, whatever
// the inputs hold: the pads of a Pad that an exporter computed, say. An output of
// the graph stays computed.
func (pl *planner) findKnown(nodes []*onnxio.Node) {
	for _, n := range nodes {
		all := len(n.Outputs) > 0
		found := make(map[string]*onnxio.Tensor)
		for _, name := range n.Outputs {
			if name == "" {
				continue
			}
			t, ok := pl.plan.info.Constant(name)
			all = all && ok && !pl.links.IsOutput(name)
			found[name] = t
		}
		if !all {
			continue
		}
		pl.known[n] = true
		for name, t := range found {
			pl.consts[name], pl.plan.known[name] = t, t
		}
	}
}

// inferred returns m and its shapes. Where several inputs have a batch of no fixed size
// and another name each, as tf2onnx calls them, it is one batch in what is returned.
func (o Options) inferred(m *onnxio.Model) (*onnxio.Model, *shape.Info, error) {
	info, err := shape.Infer(m, shape.Options{Inputs: o.InputShapes, Evaluate: constants.Evaluate})
	if err != nil {
		return nil, nil, err
	}
	typeOf := func(name string) onnxio.TensorType {
		t, _ := info.Type(name)
		return t
	}
	batch, err := shape.FindBatch(m.Graph, o.BatchAxes, typeOf)
	if err != nil || batch.Size.Known() {
		return m, info, nil // planner.findBatch says what is wrong
	}
	one := m
	for i, v := range m.Graph.Inputs {
		t := typeOf(v.Name)
		if batch.Without[v.Name] || !v.Type.HasShape || len(t.Shape) == 0 || t.Shape[0].Known() ||
			t.Shape[0] == batch.Size {
			continue
		}
		if one == m {
			one = m.Clone()
		}
		renamed := *v
		renamed.Type.Shape = slices.Clone(v.Type.Shape)
		renamed.Type.Shape[0] = batch.Size
		one.Graph.Inputs[i] = &renamed
	}
	if one != m {
		info, err = shape.Infer(one, shape.Options{Inputs: o.InputShapes, Evaluate: constants.Evaluate})
	}
	return one, info, err
}

// findBatch settles which dimension is the batch. An input without one stays on
// tensors, and so do the nodes that read it.
func (pl *planner) findBatch() error {
	g := pl.plan.model.Graph
	unread := g.UnreadInputs()
	for _, v := range g.FeedInputs() {
		if t, _ := pl.plan.info.Type(v.Name); !t.HasShape && !slices.Contains(unread, v.Name) {
			return &OpenShapeError{
				Input: v.Name, Axis: -1, Batch: -1,
				Why: fmt.Sprintf("input %q: its shape is not known", v.Name),
			}
		}
	}
	batch, err := shape.FindBatch(g, pl.opts.BatchAxes, func(name string) onnxio.TensorType {
		t, _ := pl.plan.info.Type(name)
		return t
	})
	if err != nil {
		return err
	}
	pl.plan.batch = batch.Size
	for _, v := range g.FeedInputs() {
		t, _ := pl.plan.info.Type(v.Name)
		if batch.Without[v.Name] || slices.Contains(unread, v.Name) {
			continue
		}
		for axis, d := range t.Shape[1:] {
			if d.Known() {
				continue
			}
			e := &OpenShapeError{Input: v.Name, Axis: axis + 1, Batch: -1}
			e.Why = fmt.Sprintf("input %q: dimension %d (%q) is not a number", v.Name, axis+1, d.Param)
			if batch.Size.Known() {
				e.Batch = batch.Size.Value
				e.Why += fmt.Sprintf(", and the first axis, taken for the batch, is %d", e.Batch)
			}
			return e
		}
	}
	return nil
}

// pieces plans the nodes of the CNN, but for those whose outputs are known.
func (pl *planner) pieces() ([]*piece, error) {
	var (
		all  []*piece
		errs []error
	)
	for i, n := range pl.plan.model.Graph.Nodes {
		if pl.known[n] {
			continue
		}
		pieces, err := pl.node(n)
		if err != nil {
			errs = append(errs, n.Wrap(err))
		}
		for _, p := range pieces {
			p.order = i
		}
		all = append(all, pieces...)
	}
	return all, errors.Join(errs...)
}

// node plans one node.
func (pl *planner) node(n *onnxio.Node) ([]*piece, error) {
	for _, a := range n.Attributes {
		if a.Type == onnxio.AttrGraph || a.Type == onnxio.AttrGraphs {
			return nil, fmt.Errorf("attribute %s: a subgraph cannot be converted; "+
				"export the model without control flow", a.Name)
		}
	}
	op, known := operatorOf(n)
	err := keep("no vector form is known for this operator")
	var pieces []*piece
	if known {
		pieces, err = op.plan(pl, n)
	}
	var why *keepError
	if errors.As(err, &why) {
		f := kept{why: why.why, attributes: n.Attributes}
		if op.kept != nil {
			f.attributes = op.kept(pl, n)
		}
		return []*piece{{node: n, reads: n.Inputs, writes: n.Outputs, form: f}}, nil
	}
	return pieces, err
}

// value is what is known of a value that has a vector form.
type value struct {
	elem onnxio.DataType
	dims []int // without the batch axis
}

// size is the length of the vector.
func (v value) size() int { return affine.Size(v.dims) }

// tensor is the shape with a batch of one image, as shape inference takes it.
func (v value) tensor() []int64 { return append([]int64{1}, int64s(v.dims)...) }

// vector returns the shape of a value that has a vector form: a batch axis
// first, and known dimensions after it. Otherwise it returns an error that
// keeps the node on tensors.
func (pl *planner) vector(name string) (value, error) {
	if name == "" {
		return value{}, keep("an input is left out")
	}
	if pl.consts[name] != nil {
		return value{}, keep("input %q is a constant", name)
	}
	t, ok := pl.plan.typeOf(name)
	if !ok || !t.HasShape {
		return value{}, pl.unknown("the shape of %q is not known", name)
	}
	if len(t.Shape) == 0 || t.Shape[0] != pl.plan.batch {
		return value{}, keep("%q has no batch axis in front", name)
	}
	v := value{elem: t.Elem}
	dims := make([]int64, 0, len(t.Shape))
	for axis, d := range t.Shape[1:] {
		if !d.Known() {
			return value{}, pl.unknown("dimension %d of %q is not known", axis+1, name)
		}
		dims = append(dims, d.Value)
		v.dims = append(v.dims, int(d.Value))
	}
	if n, err := onnxio.NumElements(dims); err != nil {
		return value{}, fmt.Errorf("%q: %w", name, err)
	} else if n == 0 {
		// A Reshape back to such a shape could not copy the batch (0 is a size there),
		// and a sparse tensor of no elements is not valid.
		return value{}, keep("%q of shape N×%v has no elements", name, v.dims)
	} else if n > math.MaxInt32 {
		return value{}, fmt.Errorf("%q: a vector of %d elements is longer than 2^31", name, n)
	}
	return v, nil
}

// unknown is keep for a shape that is not known. Where operators without shape
// inference are the cause, one is named; else the input's shape is.
func (pl *planner) unknown(format string, args ...any) error {
	if nodes := pl.plan.info.Unknown(); len(nodes) > 0 {
		return keep(format+"; that of node %q (%s) cannot be inferred", append(args, nodes[0].Label(),
			nodes[0].QualifiedOp())...)
	}
	return &keepError{why: fmt.Sprintf(format, args...), open: true}
}

// linear returns the shapes of the first input and first output of a linear
// operator. Where they are not known only because the model leaves its input's
// shape open, that is an error: with the shape given the node is embedded.
func (pl *planner) linear(n *onnxio.Node) (in, out value, err error) {
	if in, err = pl.vector(n.Input(0)); err == nil {
		out, err = pl.vector(n.Output(0))
	}
	var why *keepError
	if errors.As(err, &why) && why.open {
		return in, out, &OpenShapeError{Axis: -1, Batch: -1, Why: why.why}
	}
	if err == nil && in.elem != onnxio.Float32 {
		if pl.opts.layoutOf(n.Label()) == record.Keep {
			return in, out, keep(askedToBeKept)
		}
		return in, out, keep("%s data; only float32 is embedded", in.elem)
	}
	return in, out, err
}

// floats returns the values of input i if it is a constant; ok is false if the
// input is left out. A tensor that is computed at run time keeps the node.
func (pl *planner) floats(n *onnxio.Node, i int, what string) (v []float32, dims []int64, ok bool, err error) {
	name := n.Input(i)
	if name == "" {
		return nil, nil, false, nil
	}
	t := pl.consts[name]
	if slices.ContainsFunc(pl.plan.model.Graph.SparseInitializers,
		func(s *onnxio.SparseTensor) bool { return s.Values.Name == name }) {
		return nil, nil, false, keep("%s %q is stored sparse, and too large to be taken as dense", what, name)
	}
	if t == nil {
		return nil, nil, false, keep("%s %q is computed at run time", what, name)
	}
	v, err = onnxio.Floats[float32](t)
	if err != nil {
		return nil, nil, false, fmt.Errorf("%s: %w", what, err)
	}
	return v, t.Dims, true, nil
}

// embed plans the linear operator n, which has params parameters in the CNN, as
// the matrix m; takesScale allows that a BatchNormalization which follows is
// multiplied into it.
func (pl *planner) embed(
	n *onnxio.Node, m *affine.Map, rec record.Layer, params int, takesScale bool,
) ([]*piece, error) {
	if err := m.Validate(); err != nil {
		return nil, err
	}
	rec.Op, rec.Node, rec.Source, rec.Output, rec.Layout = n.OpType, n.Label(), n.Output(0), n.Output(0),
		pl.opts.layoutOf(n.Label())
	if rec.Layout == record.Keep {
		return nil, keep(askedToBeKept)
	}
	if m.NonZeros() == 0 { // every tap lies in padding: nothing to store in any other form
		rec.Layout = record.Dense
	}
	layer := &Layer{
		Layer: rec,
		Rows:  int64(m.Rows()), Cols: int64(m.Cols()),
		CNNParameters: int64(params), NonZeros: m.NonZeros(), MACs: m.NonZeros(),
		weights: m,
	}
	return []*piece{{
		node: n, reads: n.Inputs[:1], writes: n.Outputs[:1], form: matrix{takesScale: takesScale}, layer: layer,
		linear: linearOf(n, n.Output(0), params, m.Factor()),
	}}, nil
}
