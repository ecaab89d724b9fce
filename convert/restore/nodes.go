package restore

import (
	"slices"

	"efcn/convert/affine"
	"efcn/convert/internal/elementwise"
	"efcn/onnxio"
)

// node puts a node of the eFCN that is no embedded layer into the CNN. An
// elementwise operator works on the shape that its inputs have there, and a
// Concat of vectors on their channels; any other needs the shapes it had.
func (p *restorer) node(n *onnxio.Node) {
	if onnxio.CanonicalDomain(n.Domain) == "" && len(n.Outputs) == 1 {
		if elementwise.Has(n.OpType) && p.elementwise(n) || n.OpType == "Concat" && p.concat(n) {
			return
		}
	}
	c := *n
	c.Inputs, c.Outputs = slices.Clone(n.Inputs), slices.Clone(n.Outputs)
	for i, name := range c.Inputs {
		if v, ok := p.views[name]; ok {
			c.Inputs[i] = p.in(v.content, v.dims)
		}
	}
	for i, name := range c.Outputs {
		if dims, ok := p.dims(name); ok && name != "" {
			c.Outputs[i] = p.define(name, dims, dims)
		}
	}
	p.add(&c)
}

// elementwise puts an elementwise operator into the CNN. It returns false if
// that has to work on the shapes it had.
func (p *restorer) elementwise(n *onnxio.Node) bool {
	own, ok := p.dims(n.Outputs[0])
	if !ok {
		return false
	}
	var dims []int64 // that of the first branch that has axes
	for _, name := range n.Inputs {
		v, ok := p.views[name]
		switch {
		case ok && !slices.Equal(v.dims, own), !ok && name != "" && p.consts[name] == nil:
			return false
		case ok && (dims == nil || len(dims) == 1):
			dims = v.content.dims
		}
	}
	if dims == nil {
		return false
	}
	constants := make([]*onnxio.Tensor, len(n.Inputs))
	for i, name := range n.Inputs {
		if t := p.consts[name]; t != nil {
			if constants[i], ok = withAxes(t, own, dims); !ok {
				return false
			}
		}
	}
	c := *n
	c.Inputs = slices.Clone(n.Inputs)
	for i, name := range n.Inputs {
		if v, ok := p.views[name]; ok {
			c.Inputs[i] = p.in(v.content, dims)
		} else if t := constants[i]; t != nil && t != p.consts[name] {
			c.Inputs[i] = p.constant(t)
		}
	}
	c.Outputs = []string{p.define(n.Outputs[0], own, dims)}
	p.add(&c)
	return true
}

// withAxes returns the constant t, which broadcasts to a batch of shape own, as
// one that does the same to a batch of the same content in the shape dims.
func withAxes(t *onnxio.Tensor, own, dims []int64) (*onnxio.Tensor, bool) {
	n := affine.Size(t.Dims)
	if slices.Equal(own, dims) || n == 1 && len(t.Dims) <= len(dims)+1 {
		return t, true
	}
	if len(own) != 1 || n != own[0] || len(t.Dims) > 2 || t.Dims[len(t.Dims)-1] != n {
		return nil, false
	}
	c := *t
	c.Dims = slices.Clone(dims)
	return &c, true
}

// constant puts a constant that was given another shape into the CNN: under its
// own name unless that has it in two shapes.
func (p *restorer) constant(t *onnxio.Tensor) string {
	name := t.Name
	if old := p.shaped[name]; old != nil && slices.Equal(old.Dims, t.Dims) {
		return old.Name
	}
	c := *t
	if p.shaped[name] != nil || p.links.Uses(name) > 1 {
		c.Name = p.names.Free(name)
	}
	p.shaped[name] = &c
	return p.tensor(&c)
}

// concat joins branches along their channels in the place of their vectors. It
// returns false if they have no channels of one shape.
func (p *restorer) concat(n *onnxio.Node) bool {
	own, ok := p.dims(n.Outputs[0])
	axis, err := n.Int("axis", 0)
	if !ok || err != nil || len(own) != 1 || axis != 1 && axis != -1 {
		return false
	}
	var dims []int64
	for _, name := range n.Inputs {
		v, ok := p.views[name]
		switch {
		case !ok || len(v.dims) != 1 || len(v.content.dims) < 2:
			return false
		case dims == nil:
			dims = slices.Clone(v.content.dims)
		case !slices.Equal(dims[1:], v.content.dims[1:]):
			return false
		default:
			dims[0] += v.content.dims[0]
		}
	}
	c := *n
	c.Attributes = []*onnxio.Attribute{onnxio.IntAttr("axis", 1)}
	c.Inputs = nil
	for _, name := range n.Inputs {
		v := p.views[name]
		c.Inputs = append(c.Inputs, p.in(v.content, v.content.dims))
	}
	c.Outputs = []string{p.define(n.Outputs[0], own, dims)}
	p.add(&c)
	return true
}

// output sees that the CNN has an output of the graph under its name.
func (p *restorer) output(name string) {
	v, ok := p.views[name]
	if !ok || slices.ContainsFunc(v.forms, func(f form) bool { return f.name == name }) {
		return
	}
	for _, f := range v.forms {
		if slices.Equal(f.dims, v.dims) {
			p.add(&onnxio.Node{
				Name: p.names.Free(name + "/identity"), OpType: "Identity", Inputs: []string{f.name},
				Outputs: []string{name},
			})
			return
		}
	}
	p.reshape(v.content, v.dims, name)
}
