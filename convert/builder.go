package convert

import (
	"slices"

	"efcn/convert/layout"
	"efcn/convert/record"
	"efcn/onnxio"
)

// Model returns the eFCN that the plan describes. Its matrices are generated
// when the model is written or read, anew each time; nothing of their size
// is held in memory. The CNN's own tensors are shared with it. A plan over its budget
// is refused, as CheckBudget does.
func (p *Plan) Model() (*onnxio.Model, error) {
	if err := p.CheckBudget(); err != nil {
		return nil, err
	}
	b, err := p.build()
	if err != nil {
		return nil, err
	}
	return b.out, nil
}

func (p *Plan) build() (*builder, error) {
	b := newBuilder(p)
	for _, piece := range p.pieces {
		piece.form.build(b, piece)
	}
	return b, b.finish()
}

// forms are the names under which the eFCN has one value of the CNN: as a
// vector [N, L] and as a tensor with its axes. An empty name is a form that
// nothing has asked for yet.
type forms struct{ vec, nd string }

// builder puts an eFCN together, node by node.
type builder struct {
	*layout.Builder
	plan   *Plan
	out    *onnxio.Model
	values map[string]*forms // by name in the CNN
	consts map[string]*onnxio.Tensor
	used   map[string]bool // constants of the CNN that the eFCN has too
	record record.Record
}

func newBuilder(p *Plan) *builder {
	out := p.model.Clone()
	// Before version 4 every initializer had to be among the inputs, where a
	// caller could replace it: a matrix made from a kernel cannot be.
	out.IRVersion = max(out.IRVersion, 4)
	b := &builder{
		Builder: &layout.Builder{
			Graph: out.Graph, Names: p.model.Graph.Names(), Batch: p.batch, Opset: p.model.Opset(""),
		},
		plan: p, out: out,
		values: make(map[string]*forms),
		consts: make(map[string]*onnxio.Tensor),
		used:   make(map[string]bool),
		record: record.Record{Layers: []record.Layer{}},
	}
	g := p.model.Graph
	for _, t := range g.Initializers {
		b.consts[t.Name] = t
	}
	for name := range p.added {
		b.Names.Take(name)
	}
	for name, t := range p.known {
		b.consts[name] = t
	}
	b.Graph.Nodes, b.Graph.Initializers, b.Graph.ValueInfos = nil, nil, nil
	b.Graph.Inputs = nil
	for _, v := range g.FeedInputs() {
		b.values[v.Name] = &forms{nd: v.Name}
		if t, _ := p.info.Type(v.Name); len(t.Shape) == 2 {
			b.values[v.Name].vec = v.Name
		}
		declared := *v
		declared.Type, _ = p.info.Type(v.Name)
		if own := p.declaredAs(v.Name); len(own.Shape) > 0 && len(own.Shape) == len(declared.Type.Shape) &&
			!declared.Type.Shape[0].Known() {
			declared.Type.Shape = slices.Clone(declared.Type.Shape)
			declared.Type.Shape[0] = own.Shape[0]
		}
		b.Graph.Inputs = append(b.Graph.Inputs, &declared)
	}
	return b
}

// declaredAs returns the type that the CNN declares for an input.
func (p *Plan) declaredAs(input string) onnxio.TensorType {
	for _, v := range p.inputs {
		if v.Name == input {
			return v.Type
		}
	}
	return onnxio.TensorType{}
}

// shapeOf returns the declared type of a value in the CNN.
func (b *builder) shapeOf(name string) onnxio.TensorType {
	t, _ := b.plan.typeOf(name)
	return t
}

// length is the length of the vector form of a value of the CNN.
func (b *builder) length(name string) int64 {
	n := int64(1)
	for _, d := range b.shapeOf(name).Shape[1:] {
		n *= d.Value
	}
	return n
}

// constant makes a constant of the CNN part of the eFCN, under its own name.
func (b *builder) constant(name string) string {
	if t := b.consts[name]; t != nil && !b.used[name] {
		b.used[name] = true
		b.Graph.Initializers = append(b.Graph.Initializers, t)
	}
	return name
}

// vectorType is the type of the vector form of a value of the CNN.
func (b *builder) vectorType(name string) onnxio.TensorType {
	return onnxio.TensorType{
		Elem: b.shapeOf(name).Elem, HasShape: true,
		Shape: onnxio.Shape{b.plan.batch, onnxio.Fixed(b.length(name))},
	}
}

// vec returns the name of the vector form of a value of the CNN, and flattens
// the tensor form if there is none yet.
func (b *builder) vec(name string) string {
	f := b.values[name]
	if f.vec == "" {
		f.vec = b.Names.Free(name + "/vec")
		b.Node(&onnxio.Node{
			Name: b.Names.Free(name + "/flatten"), OpType: "Flatten",
			Inputs: []string{f.nd}, Outputs: []string{f.vec},
			Attributes: []*onnxio.Attribute{onnxio.IntAttr("axis", 1)},
		})
		b.Declare(f.vec, b.vectorType(name))
	}
	return f.vec
}

// nd returns the name of the tensor form of a value of the CNN, and reshapes
// the vector form if there is none yet.
func (b *builder) nd(name string) string {
	f := b.values[name]
	if f == nil { // a constant, or an optional input left out
		return b.constant(name)
	}
	if f.nd == "" {
		f.nd = name
		if f.vec == name {
			f.nd = b.Names.Free(name + "/nd")
		}
		b.Reshape(f.vec, f.nd, b.shapeOf(name).Shape)
		b.Declare(f.nd, b.shapeOf(name))
	}
	return f.nd
}

// newVec names the vector form of a value that the next node computes. A value
// that leaves the graph with axes keeps its name for them.
func (b *builder) newVec(name string) string {
	f := &forms{vec: name}
	if len(b.shapeOf(name).Shape) == 2 {
		f.nd = name
	} else if b.plan.links.IsOutput(name) {
		f.vec = b.Names.Free(name + "/vec")
	}
	b.values[name] = f
	b.Declare(f.vec, b.vectorType(name))
	return f.vec
}

// alias makes the vector form of one value that of another as well: what a
// reshape of a vector costs.
func (b *builder) alias(from, to string) {
	f := &forms{vec: b.vec(from)}
	if len(b.shapeOf(to).Shape) == 2 {
		f.nd = f.vec
	}
	b.values[to] = f
}

// on returns a copy of a node of the CNN with other inputs and outputs.
func on(n *onnxio.Node, inputs, outputs []string) *onnxio.Node {
	c := *n
	c.Inputs, c.Outputs = inputs, outputs
	return &c
}

// nodeName names the node that replaces n: as n was called, if it was.
func (b *builder) nodeName(n *onnxio.Node) string {
	if n.Name != "" {
		return n.Name
	}
	return b.Names.Free(n.Label() + "/fc")
}

// finish gives the graph its outputs and the model its record.
func (b *builder) finish() error {
	for i, v := range b.plan.model.Graph.Outputs {
		// A model may not leave a shape out, and what exporters declare behind a
		// pooling with ceil_mode can be wrong.
		if t := b.shapeOf(v.Name); !v.Type.HasShape || contradict(v.Type.Shape, t.Shape) {
			declared := *v
			declared.Type = t
			b.Graph.Outputs[i] = &declared
		}
		f := b.values[v.Name]
		switch {
		case f == nil:
			b.constant(v.Name)
		case f.nd == "":
			b.nd(v.Name)
		case f.nd != v.Name:
			b.Node(&onnxio.Node{
				Name: b.Names.Free(v.Name + "/identity"), OpType: "Identity",
				Inputs: []string{f.nd}, Outputs: []string{v.Name},
			})
		}
	}
	b.Graph.Prune() // of the nodes that computed shapes in the CNN, above all
	links := b.Graph.Links()
	b.record.Layers = slices.DeleteFunc(b.record.Layers, func(l record.Layer) bool { return links.Uses(l.Weight) == 0 })
	if len(b.plan.From) > 0 {
		b.record.As = record.AsFloat32
	}
	b.record.BatchAxes = b.plan.batchAxes
	return b.record.Write(b.out)
}

// contradict reports whether two shapes have different numbers in one place.
func contradict(a, b onnxio.Shape) bool {
	for i := range min(len(a), len(b)) {
		if a[i].Known() && b[i].Known() && a[i].Value != b[i].Value {
			return true
		}
	}
	return false
}
