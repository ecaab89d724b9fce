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

// step puts into the eFCN what a node of the CNN becomes.
type step func(b *builder) error

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

// planner is what the operators are asked with while a plan is made.
type planner struct {
	plan *Plan
	opts Options

	consts    map[string]*onnxio.Tensor
	consumers map[string][]*onnxio.Node
	outputs   map[string]bool       // names of the graph's outputs
	absorbed  map[*onnxio.Node]bool // multiplied into the layer before them, or known
	producers map[string]*onnxio.Node

	elements []*element
	fresh    []*link // noted for the element that is being planned
}

func newPlanner(m *onnxio.Model, info *shape.Info, o Options) *planner {
	pl := &planner{
		plan:      &Plan{model: m, info: info, purpose: o.For, MaxBytes: o.MaxBytes},
		opts:      o,
		consts:    make(map[string]*onnxio.Tensor),
		consumers: make(map[string][]*onnxio.Node),
		outputs:   make(map[string]bool),
		absorbed:  make(map[*onnxio.Node]bool),
		producers: make(map[string]*onnxio.Node),
	}
	pl.plan.added = make(map[string]onnxio.TensorType)
	pl.plan.known = make(map[string]*onnxio.Tensor)
	if pl.plan.MaxBytes == 0 {
		pl.plan.MaxBytes = record.DefaultMaxBytes
	}
	for _, t := range m.Graph.Initializers {
		pl.consts[t.Name] = t
	}
	for _, n := range m.Graph.Nodes {
		for _, out := range n.Outputs {
			pl.producers[out] = n
		}
		for _, in := range n.Inputs {
			if in != "" && !slices.Contains(pl.consumers[in], n) {
				pl.consumers[in] = append(pl.consumers[in], n)
			}
		}
	}
	for _, v := range m.Graph.Outputs {
		pl.outputs[v.Name] = true
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
			all = all && ok && !pl.outputs[name]
			found[name] = t
		}
		if !all {
			continue
		}
		pl.absorbed[n] = true
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
		if batch.Without[v.Name] || !v.Type.HasShape || len(t.Shape) == 0 || t.Shape[0].Known() || t.Shape[0] == batch.Size {
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
			return fmt.Errorf("input %q: its shape is not known; give it with --input-shape %s=DIMS", v.Name, v.Name)
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
			if !d.Known() && batch.Size.Known() {
				return fmt.Errorf("input %q: dimension %d (%q) is not a number, and the first axis, taken for the batch, is %d; if the batch is another axis, say so with --batch-axis %s=%d, or fix the dimension with --input-shape %s=DIMS", v.Name, axis+1, d.Param, batch.Size.Value, v.Name, axis+1, v.Name)
			}
			if !d.Known() {
				return fmt.Errorf("input %q: dimension %d (%q) is not a number; fix it with --input-shape %s=DIMS", v.Name, axis+1, d.Param, v.Name)
			}
		}
	}
	return nil
}

// step plans one node.
func (pl *planner) step(n *onnxio.Node) (step, error) {
	for _, a := range n.Attributes {
		if a.Type == onnxio.AttrGraph || a.Type == onnxio.AttrGraphs {
			return nil, fmt.Errorf("attribute %s: a subgraph cannot be converted; export the model without control flow", a.Name)
		}
	}
	op, known := operators[n.OpType]
	if onnxio.CanonicalDomain(n.Domain) != "" {
		known = false
	}
	err := keep("no vector form is known for this operator")
	var st step
	if known {
		st, err = op.plan(pl, n)
	}
	var why *keepError
	if err != nil {
		pl.fresh = nil
	}
	if errors.As(err, &why) {
		return func(b *builder) error { return b.keep(n, why.why) }, nil
	}
	return st, err
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
		return keep(format+"; that of node %q (%s) cannot be inferred", append(args, nodes[0].Label(), nodes[0].QualifiedOp())...)
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
		return in, out, fmt.Errorf("%s; fix the input's shape with --input-shape", why.why)
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
	if slices.ContainsFunc(pl.plan.model.Graph.SparseInitializers, func(s *onnxio.SparseTensor) bool { return s.Values.Name == name }) {
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

// soleConsumer returns the only node that reads a value, or nil if there are
// several or the value leaves the graph.
func (pl *planner) soleConsumer(name string) *onnxio.Node {
	if users := pl.consumers[name]; len(users) == 1 && !pl.outputs[name] {
		return users[0]
	}
	return nil
}

// embed plans the linear operator n, which has params parameters in the CNN, as
// the matrix m, with a BatchNormalization that follows it multiplied in if
// foldBN and the options allow it.
func (pl *planner) embed(n *onnxio.Node, m *affine.Map, rec record.Layer, params int, foldBN bool) (step, error) {
	if err := m.Validate(); err != nil {
		return nil, err
	}
	rec.Op, rec.Node, rec.Source, rec.Output, rec.Layout = n.OpType, n.Label(), n.Output(0), n.Output(0), pl.opts.layoutOf(n.Label())
	if rec.Layout == record.Keep {
		return nil, keep(askedToBeKept)
	}
	if m.NonZeros() == 0 { // every tap lies in padding: nothing to store in any other form
		rec.Layout = record.Dense
	}
	fold := &link{
		node: n, input: n.Input(0), output: n.Output(0), factors: []affine.Factor{m.Factor()},
		sources: []record.Factor{{Op: n.OpType, Node: n.Label(), Output: n.Output(0)}},
	}
	if foldBN && !pl.opts.NoFoldBN {
		if bn := pl.soleConsumer(n.Output(0)); bn != nil && bn.OpType == "BatchNormalization" && bn.Input(0) == n.Output(0) {
			// What cannot be multiplied in is planned on its own, and its error or
			// its reason to be kept is reported then.
			if scale, shift, err := pl.batchNorm(bn); err == nil {
				m = m.ScaleChannels(scale, shift)
				params += 4 * len(scale)
				rec.Output, rec.Folded = bn.Output(0), append(rec.Folded, bn.Label())
				pl.absorbed[bn] = true
				fold.output = bn.Output(0)
				fold.factors = append(fold.factors, normalization(scale, shift, m.Rows()))
				fold.sources = append(fold.sources, record.Factor{Op: bn.OpType, Node: bn.Label(), Output: bn.Output(0)})
			}
		}
	}
	layer := &Layer{
		Layer: rec,
		Rows:  int64(m.Rows()), Cols: int64(m.Cols()),
		CNNParameters: int64(params), NonZeros: m.NonZeros(), MACs: m.NonZeros(),
		weights: m,
	}
	pl.plan.Layers = append(pl.plan.Layers, layer)
	fold.layer, fold.params = layer, params
	pl.note(fold)
	return func(b *builder) error { return b.linear(n, layer) }, nil
}
