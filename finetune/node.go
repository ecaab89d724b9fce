package finetune

import (
	"fmt"
	"slices"

	"gorgonia.org/gorgonia"

	"efcn/internal/engine"
	"efcn/internal/kernel"
	"efcn/onnxio"
)

// value is an activation: a node of the graph that holds batch × (product of
// shape) elements. shape leaves the batch axis out; reshapes change it alone.
type value struct {
	node  *gorgonia.Node
	shape []int
	// axis is where the model has the batch among the axes, 0 but between
	// operators that move it away and back. What the node holds is always N
	// samples.
	axis int
	// folded means that the model has the batch and all of a sample in one axis, which
	// only operators that move elements can read.
	folded bool

	wants bool // it depends on a trained parameter, so its gradient is wanted
	deep  bool // it depends on a parameter, trained or not

	// rectify means that the value is the ReLU of what the node holds. Only a MaxPool
	// reads it, and applies the ReLU to its maxima.
	rectify bool
}

func (v value) size() int { return product(v.shape) }

func product(dims []int) int {
	p := 1
	for _, d := range dims {
		p *= d
	}
	return p
}

// node is an ONNX node as its emitter sees it.
type node[T kernel.Float] struct {
	*onnxio.Node
	opset int64
	b     *builder[T]
}

// label names the layer in the training graph.
func (n *node[T]) label() string { return fmt.Sprintf("%s %q", n.OpType, n.Label()) }

// activation returns the value at input i, which must be computed from the
// model's input.
func (n *node[T]) activation(i int) (value, error) {
	v, ok := n.b.values[n.Input(i)]
	if !ok {
		return value{}, n.Errorf("input %d (%q) is a constant; training needs a value computed from the model's input there",
			i, n.Input(i))
	}
	if v.folded {
		return value{}, n.Errorf("input %d (%q) has the batch and the sample in one axis; training needs the batch by "+
			"itself here", i, n.Input(i))
	}
	if v.axis != 0 {
		return value{}, n.Errorf("input %d (%q) has the batch on axis %d; training needs it on the first axis here", i,
			n.Input(i), v.axis)
	}
	return v, nil
}

func (n *node[T]) isActivation(i int) bool {
	_, ok := n.b.values[n.Input(i)]
	return ok
}

// constant returns the initializer at input i, nil where the input is left out.
func (n *node[T]) constant(i int) (*onnxio.Tensor, error) {
	name := n.Input(i)
	if name == "" {
		return nil, nil
	}
	t := n.b.t.initializers[name]
	if t == nil && n.b.t.model.Graph.SparseConstants()[name] != nil {
		return nil, n.Errorf("input %d (%q) is sparse, and not a well-formed matrix that products alone read; training "+
			"takes it as a dense initializer", i, name)
	}
	if t == nil {
		return nil, n.Errorf("input %d (%q) is no initializer; training takes weights from initializers only", i, name)
	}
	return t, nil
}

// floats returns the content of the constant at input i, nil where the input is
// left out.
func (n *node[T]) floats(i int) ([]T, error) {
	t, err := n.constant(i)
	if t == nil {
		return nil, err
	}
	v, err := onnxio.Floats[T](t)
	return v, n.Wrap(err)
}

// parameter makes the initializer at input i a trained parameter; nil where the
// input is left out. A list of dims, if given, is the shape that it must have.
func (n *node[T]) parameter(i int, dims ...int) (*parameter[T], error) {
	t, err := n.constant(i)
	if t == nil {
		return nil, err
	}
	if dims != nil && !slices.Equal(toInts(t.Dims), dims) {
		return nil, n.Errorf("input %d (%q): want shape %v, got %v", i, t.Name, dims, t.Dims)
	}
	p, err := n.b.t.parameter(t)
	return p, n.Wrap(err)
}

// fixed returns what input i holds, which must be a constant or follow from the
// batch size alone; nil where the input is left out.
func (n *node[T]) fixed(i int) (*engine.Tensor[float64], error) {
	if n.Input(i) == "" {
		return nil, nil
	}
	v, err := n.b.fixed.value(n.Input(i))
	if err != nil {
		return nil, n.Errorf("input %d: %w; training needs it fixed", i, err)
	}
	return v, nil
}

// emit adds a layer whose output 0 has the given shape, its inputs an
// activation each, then parameters; a nil parameter is left out.
func (n *node[T]) emit(l layer[T], shape []int, activations []value, parameters ...*parameter[T]) error {
	return n.emitOutput(0, l, shape, activations, parameters...)
}

// emitOutput is emit for an output other than the first.
func (n *node[T]) emitOutput(
	i int, l layer[T], shape []int, activations []value, parameters ...*parameter[T],
) error {
	v, err := n.compute(n.label(), l, shape, activations, parameters...)
	if err != nil {
		return err
	}
	n.b.values[n.Output(i)] = v
	return nil
}

// emitStage adds a layer whose output is a step on the way to that of the node, and
// has no name in the model.
func (n *node[T]) emitStage(what string, l layer[T], shape []int, activations ...value) (value, error) {
	return n.compute(n.label()+" ("+what+")", l, shape, activations)
}

// compute adds a layer and returns its output.
func (n *node[T]) compute(
	label string, l layer[T], shape []int, activations []value, parameters ...*parameter[T],
) (value, error) {
	out := value{shape: shape}
	var in []input[T]
	for _, v := range activations {
		in = append(in, input[T]{node: v.node, wants: v.wants})
		out.wants, out.deep = out.wants || v.wants, out.deep || v.deep
	}
	for _, p := range parameters {
		if p == nil {
			continue
		}
		leaf, err := n.b.a.parameter(p)
		if err != nil {
			return value{}, n.Wrap(err)
		}
		in = append(in, input[T]{node: leaf, wants: !p.frozen, param: p})
		out.wants, out.deep = out.wants || !p.frozen, true
	}
	var err error
	out.node, err = n.b.a.add(label, l, product(shape), in)
	return out, n.Wrap(err)
}

// outputShape returns the inferred shape of output 0, without the batch axis.
func (n *node[T]) outputShape() ([]int, error) {
	shape, err := n.b.shape(n.Output(0))
	return shape, n.Wrap(err)
}

func toInts(dims []int64) []int {
	v := make([]int, len(dims))
	for i, d := range dims {
		v[i] = int(d)
	}
	return v
}

// shape returns the inferred shape of a value, without the batch axis.
func (b *builder[T]) shape(name string) ([]int, error) {
	t, ok := b.info.Type(name)
	if !ok || !t.HasShape {
		return nil, fmt.Errorf("the shape of %q is not known", name)
	}
	dims := make([]int, len(t.Shape))
	for i, d := range t.Shape {
		if !d.Known() {
			return nil, fmt.Errorf("dimension %d of %q is not known", i, name)
		}
		dims[i] = int(d.Value)
	}
	if len(dims) == 0 || dims[0] != b.a.net.batch {
		return nil, fmt.Errorf("%q has shape %v for a batch of %d; training needs the batch as its first axis", name, dims,
			b.a.net.batch)
	}
	return dims[1:], nil
}
