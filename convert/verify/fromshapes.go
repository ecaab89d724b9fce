package verify

import (
	"errors"
	"slices"

	"efcn/internal/constants"
	"efcn/onnxio"
	"efcn/onnxio/shape"
)

// batchSizes are the sizes of a free batch at which what follows from shapes is
// worked out. What an exporter computes from a batch size N is a·N + b in every
// element, or a tensor of so many elements: two sizes give a and b, the third
// tells where that is not so.
var batchSizes = []int64{1, 2, 5}

// fromShapes is what follows from the declared shapes of a model alone, whatever
// the inputs hold: sizes that a Resize takes from another tensor, grids of anchors
// and indices, masks. Such a value is not matched node by node. It is computed, in
// the engine, from what Shape and Size give at a size of the batch, and compared
// element by element where a node that computes with data takes it.
type fromShapes struct {
	sizes []int64       // of the batch; one if it is fixed
	infos []*shape.Info // the types of all values, at each size
	// values are those that follow from shapes and depend on the batch: one tensor
	// for each size.
	values map[string][]*onnxio.Tensor
	// gone are all values that are not needed once values are known: they
	// themselves, what they are computed from, and what only had its shape read.
	gone map[string]bool
}

// settled returns n with what follows from its declared shapes worked out.
func (n *net) settled(inputs map[string][]int64) (*net, error) {
	m, f := settle(n.model, inputs)
	out, err := newNet(m)
	if err == nil {
		out.sparse, out.fromShapes = n.sparse, f
	}
	return out, err
}

// settle works out what follows from the declared shapes of m. It returns a copy
// of m in which what is the same whatever the batch is an initializer, and the
// rest apart.
func settle(m *onnxio.Model, inputs map[string][]int64) (*onnxio.Model, fromShapes) {
	out, f := settleWith(m, inputs, inferAll)
	if len(f.sizes) == 0 { // a model that cannot be run has its faults named
		out, f = settleWith(m, inputs, inferBefore)
	}
	return out, f
}

// infers is shape inference, or some of it.
type infers func(m *onnxio.Model, inputs map[string][]int64) (*shape.Info, error)

func inferAll(m *onnxio.Model, inputs map[string][]int64) (*shape.Info, error) {
	return shape.Infer(m, shape.Options{Inputs: inputs, Evaluate: constants.Evaluate})
}

// inferBefore infers what it can before the first node whose inputs do not fit.
func inferBefore(m *onnxio.Model, inputs map[string][]int64) (*shape.Info, error) {
	info, err := inferAll(m, inputs)
	at := (*onnxio.NodeError)(nil)
	if err == nil || !errors.As(err, &at) {
		return info, err
	}
	i := slices.IndexFunc(m.Graph.Nodes, func(n *onnxio.Node) bool { return n.Label() == at.Node })
	if i < 0 {
		return nil, err
	}
	c := m.Clone()
	c.Graph.Nodes = c.Graph.Nodes[:i]
	return inferAll(c, inputs)
}

func settleWith(m *onnxio.Model, inputs map[string][]int64, infer infers) (*onnxio.Model, fromShapes) {
	f := fromShapes{values: make(map[string][]*onnxio.Tensor), gone: make(map[string]bool)}
	var left []map[string]bool // by size: the values that are computed from data
	var found []map[string]*onnxio.Tensor
	free := freeInputs(m, inputs)
	sizes := batchSizes
	if len(free) == 0 {
		sizes = []int64{0}
	}
	for _, size := range sizes {
		at := make(map[string][]int64, len(inputs)+len(free))
		for name, dims := range inputs {
			at[name] = dims
		}
		for name, dims := range free {
			at[name] = append([]int64{size}, dims[1:]...)
		}
		info, folded, err := foldedAt(m, at, infer)
		if err != nil {
			continue // it cannot be run with such a batch
		}
		f.sizes, f.infos = append(f.sizes, size), append(f.infos, info)
		constants := make(map[string]*onnxio.Tensor)
		for _, t := range folded.Graph.Initializers {
			constants[t.Name] = t
		}
		left, found = append(left, computed(folded.Graph, m.Graph.Outputs)), append(found, constants)
	}
	out := m.Clone()
	if len(f.sizes) > 0 {
		f.collect(m.Graph.Nodes, left, found)
		f.fix(out.Graph)
	}
	return out, f
}

// foldedAt infers the types of all values for inputs of those shapes, and folds what
// follows from them. What the file declares of values is not believed, unless there
// are nodes of which nothing else is known.
func foldedAt(m *onnxio.Model, inputs map[string][]int64, infer infers) (*shape.Info, *onnxio.Model, error) {
	info, err := infer(withoutDeclared(m), inputs)
	if err == nil && len(info.Unknown()) > 0 {
		info, err = infer(m, inputs)
	}
	if err != nil {
		return nil, nil, err
	}
	folded, err := withKnown(m, info)
	return info, folded, err
}

// collect notes the values of nodes that are computed from data at no size of the
// batch, and the contents of those that were found at every size.
func (f *fromShapes) collect(nodes []*onnxio.Node, left []map[string]bool, found []map[string]*onnxio.Tensor) {
	for _, node := range nodes {
		for _, name := range node.Outputs {
			if name == "" || slices.ContainsFunc(left, func(computed map[string]bool) bool { return computed[name] }) {
				continue
			}
			f.gone[name] = true
			var values []*onnxio.Tensor
			for _, constants := range found {
				if t := constants[name]; t != nil {
					values = append(values, t)
				}
			}
			if len(values) == len(f.sizes) {
				f.values[name] = values
			}
		}
	}
}

// withoutDeclared returns m without what it declares of the values that it
// computes.
func withoutDeclared(m *onnxio.Model) *onnxio.Model {
	c := m.Clone()
	c.Graph.ValueInfos = nil
	for i, v := range c.Graph.Outputs {
		c.Graph.Outputs[i] = &onnxio.ValueInfo{Name: v.Name}
	}
	return c
}

// fix makes initializers of the values that are the same at every size.
func (f *fromShapes) fix(g *onnxio.Graph) {
	g.Nodes = slices.DeleteFunc(g.Nodes, func(n *onnxio.Node) bool {
		var fixed []*onnxio.Tensor
		for _, name := range n.Outputs {
			values := f.values[name]
			switch {
			case name == "" || f.gone[name] && values == nil: // nothing takes it
			case values == nil || slices.ContainsFunc(values[1:],
				func(t *onnxio.Tensor) bool { return !sameTensor(t, values[0]) }):
				return false
			default:
				fixed = append(fixed, values[0])
			}
		}
		if len(fixed) == 0 {
			return false
		}
		for _, t := range fixed {
			delete(f.values, t.Name)
			g.Initializers = append(g.Initializers, t)
		}
		return true
	})
}

// freeInputs returns the shapes, as Infer takes them, of the inputs whose first
// axis is left open.
func freeInputs(m *onnxio.Model, inputs map[string][]int64) map[string][]int64 {
	free := make(map[string][]int64)
	for _, in := range m.Graph.FeedInputs() {
		given := inputs[in.Name]
		if in.Type.HasShape && len(in.Type.Shape) > 0 && in.Type.Shape[0].Known() || len(given) > 0 && given[0] >= 0 {
			continue
		}
		if !in.Type.HasShape && len(given) == 0 || in.Type.HasShape && len(in.Type.Shape) == 0 {
			continue
		}
		if given == nil {
			given = slices.Repeat([]int64{-1}, len(in.Type.Shape))
		}
		free[in.Name] = given
	}
	return free
}

// withKnown returns m with everything folded that follows from the types that
// info has. All that it computes is an output, so that nothing is dropped.
func withKnown(m *onnxio.Model, info *shape.Info) (*onnxio.Model, error) {
	m = m.Clone()
	for _, node := range m.Graph.Nodes {
		for _, name := range node.Outputs {
			if name != "" {
				m.Graph.Outputs = append(m.Graph.Outputs, &onnxio.ValueInfo{Name: name})
			}
		}
	}
	// First the shapes themselves, so that the engine computes what follows from
	// them; then what inference knows in spite of a shape, or an element, that it does
	// not know.
	for _, all := range []bool{false, true} {
		out := m.Clone()
		g := out.Graph
		g.Nodes = slices.DeleteFunc(g.Nodes, func(n *onnxio.Node) bool {
			if !all && !operatorOf(n).ofShape {
				return false
			}
			var known []*onnxio.Tensor
			for _, name := range n.Outputs {
				if name == "" {
					continue
				}
				t, ok := info.Constant(name)
				if !ok {
					return false
				}
				known = append(known, t)
			}
			g.Initializers = append(g.Initializers, known...)
			return len(known) > 0
		})
		if len(g.Nodes) == len(m.Graph.Nodes) {
			continue
		}
		var err error
		if m, err = constants.Fold(out, constants.Options{}); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// computed returns the values that outputs depend on and that the nodes of g compute.
func computed(g *onnxio.Graph, outputs []*onnxio.ValueInfo) map[string]bool {
	names := make([]string, len(outputs))
	for i, v := range outputs {
		names[i] = v.Name
	}
	values := make(map[string]bool)
	for _, node := range g.Ancestors(names...) {
		for _, name := range node.Outputs {
			values[name] = true
		}
	}
	return values
}

// sameTensor reports whether two tensors have one type, shape and content, bit for
// bit.
func sameTensor(a, b *onnxio.Tensor) bool {
	if a == b {
		return true
	}
	if a.Type != b.Type || !slices.Equal(a.Dims, b.Dims) {
		return false
	}
	x, errX := elements(a)
	y, errY := elements(b)
	return errX == nil && errY == nil && slices.Equal(x, y)
}

// known reports whether the content of a value is known without data: a constant,
// or what follows from shapes.
func (n *net) known(name string) bool {
	return n.constants[name] != nil || n.fromShapes.values[name] != nil
}

// at returns the content of a settled value at the i-th size of the batch.
func (n *net) at(name string, i int) *onnxio.Tensor {
	if t := n.constants[name]; t != nil || n.fromShapes.values[name] == nil {
		return t
	}
	return n.fromShapes.values[name][i]
}

// dims returns the shape of a value at the i-th size of the batch, or false where
// it is not known.
func (f *fromShapes) dims(name string, i int) ([]int64, bool) {
	t, ok := f.infos[i].Type(name)
	if !ok || !t.HasShape {
		return nil, false
	}
	dims := make([]int64, len(t.Shape))
	for k, d := range t.Shape {
		if dims[k] = d.Value; !d.Known() {
			return nil, false
		}
	}
	return dims, true
}

// without reports whether nothing of a node is needed once what follows from shapes
// is known.
func (n *net) without(node *onnxio.Node) bool {
	return !slices.ContainsFunc(node.Outputs, func(name string) bool { return name != "" && !n.fromShapes.gone[name] })
}

// parameter returns a list of integers that an operator takes: a constant or, of
// what follows from shapes, its content at a batch of one, where nothing but its
// first element depends on the batch, and that is the batch. It is nil for
// anything else.
func (n *net) parameter(name string) *onnxio.Tensor {
	values := n.fromShapes.values[name]
	if t := n.constants[name]; t != nil || values == nil {
		return t
	}
	first, err := onnxio.Ints(values[0])
	if err != nil {
		return nil
	}
	for i, t := range values {
		list, err := onnxio.Ints(t)
		if err != nil || len(list) != len(first) || len(list) == 0 || list[0] != n.fromShapes.sizes[i] ||
			!slices.Equal(list[1:], first[1:]) {
			return nil
		}
	}
	return values[0]
}
