package landscape

import (
	"bytes"
	"fmt"
	"maps"
	"math"
	"slices"

	"efcn/finetune"
	"efcn/onnxio"
)

// pair is two models of one graph, and the weights in which they differ.
type pair struct {
	a, b *onnxio.Model
	ends []tensorPair
}

// tensorPair is an initializer, or the values of a sparse constant, not the same in
// both models.
type tensorPair struct {
	name      string
	a, b      []float32
	statistic bool // a running mean or variance
}

// ArchitectureError is the refusal of two models that differ in more than their
// weights.
type ArchitectureError struct {
	Err error // what differs
}

func (e *ArchitectureError) Error() string {
	return e.Err.Error() + "; a path needs two models of one architecture, such as an eFCN before and after training"
}

func (e *ArchitectureError) Unwrap() error { return e.Err }

// newPair compares the graphs of two models.
func newPair(a, b *onnxio.Model) (*pair, error) {
	if err := sameGraph(a, b); err != nil {
		return nil, &ArchitectureError{err}
	}
	statistics := finetune.RunningStatistics(a.Graph)
	p := &pair{a: a, b: b}
	for _, name := range constantNames(a.Graph) {
		ta, tb := constant(a.Graph, name), constant(b.Graph, name)
		if ta.Type != onnxio.Float32 {
			if same, err := equalContent(ta, tb); err != nil {
				return nil, err
			} else if !same {
				return nil, fmt.Errorf("initializer %q: it differs between the models, and is %s; only float32 weights are "+
					"interpolated", name, ta.Type)
			}
			continue
		}
		e := tensorPair{name: name, statistic: statistics[name]}
		var err error
		if e.a, err = onnxio.Floats[float32](ta); err != nil {
			return nil, err
		}
		if e.b, err = onnxio.Floats[float32](tb); err != nil {
			return nil, err
		}
		if !slices.EqualFunc(e.a, e.b, sameBits) {
			p.ends = append(p.ends, e)
		}
	}
	return p, nil
}

// constantNames lists the initializers of a graph in their order, and then, sorted, what
// it stores sparse.
func constantNames(g *onnxio.Graph) []string {
	var names []string
	for _, t := range g.Initializers {
		names = append(names, t.Name)
	}
	return append(names, slices.Sorted(maps.Keys(g.SparseConstants()))...)
}

// constant returns the initializer of that name, or the values of the sparse
// constant; nil if there is neither.
func constant(g *onnxio.Graph, name string) *onnxio.Tensor {
	if s := g.SparseConstants()[name]; s != nil {
		return s.Values
	}
	return g.Initializer(name)
}

// setConstant puts other float32 elements in its place, in a graph that was cloned.
func setConstant(g *onnxio.Graph, name string, values []float32) {
	data := onnxio.NewTensor(name, nil, values).Data
	if g.SetSparseValues(name, data) {
		return
	}
	i := slices.IndexFunc(g.Initializers, func(t *onnxio.Tensor) bool { return t.Name == name })
	replaced := *g.Initializers[i]
	replaced.Data = data
	g.Initializers[i] = &replaced
}

// sameGraph names the first thing, weights apart, in which two models differ.
func sameGraph(a, b *onnxio.Model) error {
	if len(a.Graph.Nodes) != len(b.Graph.Nodes) {
		return fmt.Errorf("the first model has %d nodes, the second %d", len(a.Graph.Nodes), len(b.Graph.Nodes))
	}
	for i, n := range a.Graph.Nodes {
		if err := sameNode(n, b.Graph.Nodes[i]); err != nil {
			return err
		}
	}
	names := func(infos []*onnxio.ValueInfo) []string {
		list := []string{}
		for _, v := range infos {
			list = append(list, v.Name)
		}
		return list
	}
	if in, other := names(a.Graph.FeedInputs()), names(b.Graph.FeedInputs()); !slices.Equal(in, other) {
		return fmt.Errorf("the inputs are %q and %q", in, other)
	}
	if out, other := names(a.Graph.Outputs), names(b.Graph.Outputs); !slices.Equal(out, other) {
		return fmt.Errorf("the outputs are %q and %q", out, other)
	}
	if len(a.Graph.Initializers) != len(b.Graph.Initializers) {
		return fmt.Errorf("the first model has %d initializers, the second %d", len(a.Graph.Initializers),
			len(b.Graph.Initializers))
	}
	for _, t := range a.Graph.Initializers {
		other := b.Graph.Initializer(t.Name)
		switch {
		case other == nil:
			return fmt.Errorf("initializer %q: the second model has none of that name", t.Name)
		case t.Type != other.Type || !slices.Equal(t.Dims, other.Dims):
			return fmt.Errorf("initializer %q: %s %v and %s %v", t.Name, t.Type, t.Dims, other.Type, other.Dims)
		}
	}
	sparse, others := a.Graph.SparseConstants(), b.Graph.SparseConstants()
	if x, y := slices.Sorted(maps.Keys(sparse)), slices.Sorted(maps.Keys(others)); !slices.Equal(x, y) {
		return fmt.Errorf("the sparse constants are %q and %q", x, y)
	}
	for name, s := range sparse {
		other := others[name]
		if s.Values.Type != other.Values.Type || !slices.Equal(s.Dims, other.Dims) {
			return fmt.Errorf("sparse constant %q: %s %v and %s %v", name, s.Values.Type, s.Dims, other.Values.Type, other.Dims)
		}
		same, err := equalContent(s.Indices, other.Indices)
		if err != nil {
			return err
		}
		if !same || !slices.Equal(s.Indices.Dims, other.Indices.Dims) {
			return fmt.Errorf("sparse constant %q: the two models store other entries of it", name)
		}
	}
	return nil
}

func sameNode(a, b *onnxio.Node) error {
	if a.QualifiedOp() != b.QualifiedOp() {
		return fmt.Errorf("node %q (%s) is %q (%s) in the second model", a.Label(), a.QualifiedOp(), b.Label(),
			b.QualifiedOp())
	}
	if !slices.Equal(a.Inputs, b.Inputs) || !slices.Equal(a.Outputs, b.Outputs) {
		return a.Errorf("%q to %q, in the second model %q to %q", a.Inputs, a.Outputs, b.Inputs, b.Outputs)
	}
	if len(a.Attributes) != len(b.Attributes) {
		return a.Errorf("%d attributes, in the second model %d", len(a.Attributes), len(b.Attributes))
	}
	for _, x := range a.Attributes {
		y := b.Attr(x.Name)
		if y == nil || !sameAttribute(x, y) {
			return a.Errorf("attribute %s differs", x.Name)
		}
	}
	return nil
}

// sameAttribute reports whether two attributes are equal. One that holds a tensor
// or a graph is only equal to itself; sparse tensors are looked at elsewhere.
func sameAttribute(a, b *onnxio.Attribute) bool {
	switch a.Type {
	case onnxio.AttrFloat, onnxio.AttrInt, onnxio.AttrString, onnxio.AttrFloats, onnxio.AttrInts, onnxio.AttrStrings:
		return a.Type == b.Type && a.F == b.F && a.I == b.I && bytes.Equal(a.S, b.S) &&
			slices.Equal(a.Floats, b.Floats) && slices.Equal(a.Ints, b.Ints) &&
			slices.EqualFunc(a.Strings, b.Strings, bytes.Equal)
	case onnxio.AttrSparseTensor:
		return a.Type == b.Type
	default:
		return a == b
	}
}

// equalContent reports whether two tensors hold the same bytes.
func equalContent(a, b *onnxio.Tensor) (bool, error) {
	if a == b {
		return true, nil
	}
	var contents [2]bytes.Buffer
	for i, t := range []*onnxio.Tensor{a, b} {
		if t.Data == nil {
			continue
		}
		if _, err := t.Data.WriteTo(&contents[i]); err != nil {
			return false, fmt.Errorf("initializer %q: %w", t.Name, err)
		}
	}
	return bytes.Equal(contents[0].Bytes(), contents[1].Bytes()), nil
}

// between returns the model at t of the way from a to b.
func (p *pair) between(t float64, curved bool) *onnxio.Model {
	return p.model(func(i int) []float32 { return p.ends[i].at(t, curved) })
}

// at is the tensor at t of the way.
func (e tensorPair) at(t float64, curved bool) []float32 {
	w := make([]float32, len(e.a))
	mix(w, e.a, e.b, t)
	if !curved || e.statistic {
		return w
	}
	have := norm(w)
	if have == 0 {
		return w
	}
	factor := ((1-t)*norm(e.a) + t*norm(e.b)) / have
	for i, v := range w {
		w[i] = float32(factor * float64(v))
	}
	return w
}

// model returns a copy of a with other weights in place of those that differ.
func (p *pair) model(weights func(i int) []float32) *onnxio.Model {
	m := p.a.Clone()
	for i, e := range p.ends {
		setConstant(m.Graph, e.name, weights(i))
	}
	return m
}

// distance is ‖b − a‖ over all weights, running statistics left out.
func (p *pair) distance() float64 {
	var squares float64
	for _, e := range p.ends {
		if !e.statistic {
			squares += squaredDistance(e.a, e.b)
		}
	}
	return math.Sqrt(squares)
}

// length is that of the path through as many places.
func (p *pair) length(curved bool, places int) float64 {
	if !curved {
		return p.distance()
	}
	squares := make([]float64, places)
	for _, e := range p.ends {
		if e.statistic {
			continue
		}
		before := e.a
		for i := 1; i < places; i++ {
			here := e.at(float64(i)/float64(places-1), true)
			squares[i] += squaredDistance(before, here)
			before = here
		}
	}
	length := 0.0
	for _, s := range squares {
		length += math.Sqrt(s)
	}
	return length
}

func sameBits(x, y float32) bool { return math.Float32bits(x) == math.Float32bits(y) }

func norm(v []float32) float64 {
	var squares float64
	for _, x := range v {
		squares += float64(x) * float64(x)
	}
	return math.Sqrt(squares)
}

func squaredDistance(a, b []float32) float64 {
	var squares float64
	for i, x := range a {
		d := float64(x) - float64(b[i])
		squares += d * d
	}
	return squares
}
